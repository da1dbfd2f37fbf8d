use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

pub(crate) struct MailServer {
    port: u16,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, mails) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
        let taken = mails.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = taken.clone();
                std::thread::spawn(move || serve(&stream, &taken).ok());
            }
        });
        Self { port, mails }
    }

    pub(crate) fn action(&self, digest: &str) -> String {
        let port = self.port;
        format!(
            "driver = mail\nserver = 127.0.0.1:{port}\ntls = none\nfrom = osnl@example.com\nto = ops@example.com\n\
             subject = one\nbody = <{{{{ payload.n | default(0) }}}}>\n{digest}"
        )
    }

    pub(crate) fn numbers(&self) -> Vec<Vec<u64>> {
        let of = |mail: &String| {
            let (_, body) = mail.split_once("\n\n").unwrap_or_default();
            let text = BASE64_STANDARD.decode(body.replace('\n', "")).unwrap();
            let text = String::from_utf8(text).unwrap();
            let parts = text.split('<').filter_map(|part| part.split_once('>')?.0.parse().ok());
            let mut numbers: Vec<u64> = parts.collect();
            numbers.sort_unstable();
            numbers
        };
        self.mails.lock().unwrap().iter().map(of).collect()
    }
}

fn serve(mut stream: &TcpStream, taken: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    stream.write_all(b"220 here\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let answer: &[u8] = match line.split(' ').next().unwrap_or_default() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let mut mail = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                }
                taken.lock().unwrap().push(mail);
                b"250 taken\r\n"
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n"),
            _ => b"250 fine\r\n",
        };
        stream.write_all(answer)?;
    }
    Ok(())
}
