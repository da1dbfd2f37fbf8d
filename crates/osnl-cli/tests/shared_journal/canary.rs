use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use osnl_testkit::{Postgres, RestartableProgram, wait_until};

use crate::stage::{SOON, Stage};

fn address(daemon: &RestartableProgram) -> String {
    daemon.wait_for("the admin endpoint listens", 1, SOON);
    let log = daemon.output();
    let line = log.lines().find(|line| line.contains("the admin endpoint listens")).unwrap();
    let (_, behind) = line.split_once("127.0.0.1:").unwrap();
    format!("127.0.0.1:{}", behind.chars().take_while(char::is_ascii_digit).collect::<String>())
}

fn sample(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let found = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0)
}

fn count(address: &str, result: &str) -> u64 {
    sample(address, &format!("osnl_canaries_total{{result=\"{result}\"}}"))
}

#[test]
fn a_canary_comes_back_whichever_daemon_makes_its_delivery() {
    let database = Postgres::shared().database();
    let mut stage = Stage::new("canary", &database);
    let section = "[admin]\nlisten = 127.0.0.1:0\n[canary]\nlistener = neutron\nevery = 3s\n[rule:gone]";
    let edits = [("[rule:gone]", section)];
    let mut reader = stage.daemon_with("a", &edits);
    wait_until(SOON, "it to read", || stage.status("a")["listeners"][0]["state"] == "listening");
    let other = stage.daemon_with("b", &edits);
    stage.wait_for_halves("b");
    let (of_reader, of_other) = (address(&reader), address(&other));
    let returned = |by: &str, further: u64| {
        let before = count(by, "returned");
        wait_until(SOON, "canaries to come back", || count(by, "returned") >= before + further);
    };
    returned(&of_reader, 3);
    // The next deliveries belong to the other half of the partitions.
    stage.publish(0..40);
    returned(&of_reader, 3);
    let made = |state: u8| {
        let sql =
            format!("SELECT count(*) FROM osnl_delivery WHERE action = 'osnl:canary' AND state = {state}");
        Postgres::shared().rows(database.rsplit_once('/').unwrap().1, &sql).parse::<u64>().unwrap()
    };
    assert!(made(4) > 0 && made(5) > 0, "by the sender {}, by the other one {}", made(4), made(5));
    let lost = |address: &str| ["lost", "refused"].map(|result| count(address, result));
    assert_eq!((lost(&of_reader), sample(&of_reader, "osnl_canary_late")), ([0, 0], 0));
    assert_eq!(count(&of_other, "sent"), 0, "it stands by");

    reader.kill9();
    returned(&of_other, 3);
    assert_eq!((lost(&of_other), sample(&of_other, "osnl_canary_late")), ([0, 0], 0));
}
