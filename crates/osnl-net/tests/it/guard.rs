//! A guarded client connects only to addresses of the Internet, in any spelling of an address.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};

use osnl_net::http::{AddressClass, AddressGuard, FailureClass, HttpOptions, Method, Url};
use osnl_testkit::Sink;
use proptest::prelude::*;

use super::{request, sent};

fn number(n: u32, base: u8) -> String {
    match base {
        0 => n.to_string(),
        1 => format!("0{n:o}"),
        2 => format!("0x{n:x}"),
        3 => format!("0X{n:X}"),
        _ => format!("0000{n:o}"),
    }
}

fn spelt(address: Ipv4Addr, form: usize, bases: [u8; 4]) -> String {
    let [a, b, c, d] = address.octets().map(u32::from);
    let word = u32::from(address);
    let (high, low) = (word >> 16, word & 0xffff);
    match form {
        0 => address.to_string(),
        1 => number(word, bases[0]),
        2 => format!("{}.{}", number(a, bases[0]), number(word & 0xff_ffff, bases[1])),
        3 => format!("{}.{}.{}", number(a, bases[0]), number(b, bases[1]), number(low, bases[2])),
        4 => [a, b, c, d].iter().zip(bases).map(|(n, base)| number(*n, base)).collect::<Vec<_>>().join("."),
        5 => format!("[::ffff:{address}]"),
        6 => format!("[::ffff:{high:x}:{low:X}]"),
        7 => format!("[0:0:0:0:0:FFFF:{high:04x}:{low:04x}]"),
        8 => format!("[::{address}]"),
        9 => format!("[::ffff:0:{address}]"),
        10 => format!("[64:ff9b::{address}]"),
        11 => format!("[2002:{high:x}:{low:x}::1]"),
        12 => format!("[2606:4700::5efe:{address}]"),
        _ => format!("[2606:4700::200:5efe:{address}]"),
    }
}

fn forbidden() -> impl Strategy<Value = Ipv4Addr> {
    let networks: &[(u32, u32)] = &[
        (0x7f00_0000, 8),
        (0x0a00_0000, 8),
        (0xac10_0000, 12),
        (0xc0a8_0000, 16),
        (0xa9fe_0000, 16),
        (0x6440_0000, 10),
        (0x0000_0000, 8),
        (0xe000_0000, 3),
        (0xa9fe_a9fe, 32),
        (0x6464_64c8, 32),
        (0xa83f_8110, 32),
    ];
    (prop::sample::select(networks), any::<u32>()).prop_map(|((network, bits), any)| {
        let mask = u32::MAX.checked_shr(bits).unwrap_or(0);
        Ipv4Addr::from(network | (any & mask))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_an_address_makes_another_of_it(
        address in forbidden(), form in 0..14_usize, bases in prop::array::uniform4(0..5_u8),
    ) {
        prop_assert_ne!(AddressClass::from_address(IpAddr::V4(address)), AddressClass::Public);
        let host = spelt(address, form, bases);
        let Ok(url) = Url::parse(&format!("http://{host}/")) else {
            return Err(TestCaseError::fail(format!("{host} is no host")));
        };
        let found: Vec<IpAddr> = match url.host().parse() {
            Ok(literal) => vec![literal],
            Err(_) => (url.host(), 80).to_socket_addrs().into_iter().flatten().map(|found| found.ip()).collect(),
        };
        for found in found {
            prop_assert!(AddressGuard::default().judge(url.host(), found).is_err(), "{} is {}", host, found);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_url_of_an_event_reaches_this_machine(
        last in 1..255_u8, form in 0..14_usize, bases in prop::array::uniform4(0..5_u8),
        scheme in prop::sample::select(vec!["http", "HTTP", "https", "hTTp"]),
        user in prop::sample::select(vec!["", "u@", "u:p@", "127.0.0.2@", "1.1.1.1:80@", "%40", "\\", "u%40h@"]),
        tail in prop::sample::select(vec!["", "/", "/@1.1.1.1", "?@1.1.1.1", "#@1.1.1.1/", "\\@1.1.1.1", "/..//1.1.1.1", "%00.example/"]),
    ) {
        let sink = Sink::start();
        let host = match last {
            1..=9 => "localhost".to_owned(),
            10..=19 => "LocalHost".to_owned(),
            20..=29 => "[::1]".to_owned(),
            30..=39 => "[0:0::0:1]".to_owned(),
            40..=49 => "[::]".to_owned(),
            50..=59 => "0".to_owned(),
            60..=99 => spelt(Ipv4Addr::new(127, 0, 0, 1), form, bases),
            n => spelt(Ipv4Addr::new(127, 1, 2, n), form, bases),
        };
        let text = format!("{scheme}://{user}{host}:{}{tail}", sink.port());
        if Url::parse(&text).is_ok() {
            let guard = Some(AddressGuard { hosts: Vec::new(), private: true });
            let options = HttpOptions { guard, ..HttpOptions::default() };
            let failure = sent(&options, request(Method::GET, &text)).unwrap_err();
            prop_assert_eq!(failure.class, FailureClass::Forbidden, "{}: {}", text, failure);
        }
        prop_assert_eq!(sink.requests().len(), 0);
    }
}
