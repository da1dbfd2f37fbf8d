//! The screens over recorded messages, kept as text in `fixtures/screens`. After an intended change
//! run `OSNL_WRITE_SCREENS=1 cargo test -p osnl-cli --bin osnl view`, and read the difference.

use jiff::Timestamp;
use osnl_testkit::fixture;
use osnl_transport::TapMessage;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;

use super::frame;
use super::kept::KeptEntry;
use super::rules::Rules;
use super::state::{Act, TapPage, ViewState};
use crate::command::tap::event::EventFilter;
use crate::command::tap::tests::{planted, services};
use crate::command::tap::voice::ConnectionState;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_160_000 + second).unwrap()
}

fn standing() -> ConnectionState {
    ConnectionState {
        connected: true,
        host: "mq1:5672".into(),
        virtual_host: "/".into(),
        bound: ["nova", "neutron", "glance", "keystone", "designate"].map(str::to_owned).to_vec(),
        chosen: true,
        told: [(at(0), "listening at mq1:5672, virtual host \"/\", exchanges: nova, neutron, glance, keystone, designate".to_owned())]
            .into(),
        ..ConnectionState::default()
    }
}

fn state(messages: &[TapMessage], rates: bool) -> ViewState {
    let mut state = ViewState::new(rates, at(0));
    for (second, three) in (0..).zip(messages.chunks(3)) {
        state.tick(at(second));
        for message in three {
            let read = EventFilter::default().read(message).unwrap();
            state.add(KeptEntry::new(message, &read, at(second)));
        }
    }
    state.tick(at(i64::try_from(messages.len().div_ceil(3)).unwrap()));
    state
}

fn press(state: &mut ViewState, keys: &str) {
    for c in keys.chars() {
        let key = match c {
            '\r' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            '^' => KeyCode::Up,
            '>' => KeyCode::Right,
            '$' => KeyCode::End,
            '~' => KeyCode::Char('u'),
            c => KeyCode::Char(c),
        };
        let modifiers = if c == '~' { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        assert_eq!(state.key(KeyEvent::new(key, modifiers), None), Act::Nothing, "{c:?}");
        lines(state, SIZE);
    }
}

const SIZE: Size = Size::new(100, 24);

fn lines(state: &mut ViewState, size: Size) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
    terminal.draw(|frame| frame::draw(frame, state, &standing(), false)).unwrap();
    let shown = terminal.backend().to_string();
    shown.lines().map(|line| line[1..line.len() - 1].to_owned()).collect()
}

#[track_caller]
fn check(name: &str, state: &mut ViewState, size: Size) {
    let drawn: Vec<String> = lines(state, size).iter().map(|line| line.trim_end().to_owned()).collect();
    let drawn = format!("{}\n", drawn.join("\n"));
    let path = fixture::path("screens").join(format!("tap-{name}.txt"));
    if std::env::var_os("OSNL_WRITE_SCREENS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(drawn, kept, "{}", path.display());
}

fn rules() -> Rules {
    let text = "[listener:l]\ntransport_url = rabbit://u:S3CRET@mq1/\nexchange = nova, neutron\n\
        pool = osnl\n[rule:deleted-servers]\nevent_type = ^compute\\.instance\\.delete\\.end$\nactions = audit\n\
        [rule:created-servers]\nevent_type = ^compute\\.instance\\.create\\.end$\nactions = audit\n\
        [action:audit]\ndriver = dump\npath = /var/log/osnl/audit.jsonl\n";
    let loaded = osnl::native::load_texts(
        &[("osnl.conf".to_owned(), text.to_owned())],
        &osnl::native::Sources::default(),
    );
    Rules { conf: Box::new(loaded.unwrap().conf), listener: None }
}

#[test]
fn each_page_looks_as_it_is_kept() {
    let services = services();
    let mut list = state(&services, false);
    check("list", &mut list, SIZE);
    press(&mut list, "g");
    check("list-top-80", &mut list, Size::new(80, 20));
    press(&mut list, "/floatingip\r");
    check("found", &mut list, SIZE);
    press(&mut list, "/~event_type=^compute\\.instance\\.create\\.end$\r");
    assert_eq!(list.key(KeyCode::Enter.into(), Some(&rules())), Act::Nothing);
    check("opened", &mut list, SIZE);
    press(&mut list, "r");
    check("opened-rules", &mut list, SIZE);
    check("opened-rules-72", &mut list, Size::new(72, 18));
    press(&mut list, "$");
    check("opened-end", &mut list, SIZE);
    press(&mut list, "\x1b/~no such thing\r");
    check("found-nothing", &mut list, SIZE);
    press(&mut list, "/~payload.a.b=(\r");
    check("mistake", &mut list, SIZE);
    press(&mut list, "\x1b?");
    check("help", &mut list, SIZE);
    press(&mut list, "m");
    check("messages", &mut list, SIZE);
    check("empty", &mut state(&[], false), SIZE);
    let mut rates = state(&services[..40], true);
    check("rates", &mut rates, SIZE);
    press(&mut rates, "tr");
    check("rates-by-type", &mut rates, SIZE);
}

#[test]
fn keys_do_what_the_help_says() {
    let services = services();
    let mut state = state(&services[..30], false);
    lines(&mut state, SIZE);
    assert_eq!((state.listed.selected(), state.listed.follows()), (Some(30), true));
    press(&mut state, "^^");
    assert_eq!((state.listed.selected(), state.listed.follows()), (Some(28), false));
    let next = |state: &mut ViewState| {
        let read = EventFilter::default().read(&services[30]).unwrap();
        state.add(KeptEntry::new(&services[30], &read, at(99)));
    };
    next(&mut state);
    assert_eq!(state.listed.selected(), Some(28), "what comes does not move it");
    press(&mut state, "\r");
    assert_eq!((state.page, state.detail.as_ref().map(|d| d.number)), (TapPage::Detail, Some(28)));
    press(&mut state, ">>");
    assert_eq!(state.detail.as_ref().map(|d| d.number), Some(30));
    press(&mut state, "\x1b");
    assert_eq!(state.page, TapPage::List);
    press(&mut state, "$");
    next(&mut state);
    assert_eq!((state.listed.selected(), state.listed.follows()), (Some(32), true));
    press(&mut state, "p");
    next(&mut state);
    assert_eq!((state.listed.selected(), state.passed), (Some(32), 1));
    press(&mut state, "p");
    assert_eq!((state.passed, state.note.is_some()), (0, true));
    press(&mut state, "\t");
    assert_eq!(state.page, TapPage::Rates);
    press(&mut state, "?\x1b");
    assert_eq!(state.page, TapPage::Rates, "back where one came from");
    press(&mut state, "\ts");
    assert_eq!(state.key(KeyCode::Enter.into(), None), Act::Save("osnl-event-32.jsonl".to_owned()));
    press(&mut state, "/q");
    assert_eq!(state.key(KeyCode::Char('q').into(), None), Act::Nothing, "it is typed");
    press(&mut state, "\x1b");
    assert_eq!(state.key(KeyCode::Char('q').into(), None), Act::Leave);
}

#[test]
fn every_screen_fits_and_shows_no_secret_and_nothing_that_acts() {
    let (messages, secrets) = planted();
    let mut state = state(&messages, false);
    let (mut all, rules) = (String::new(), rules());
    press(&mut state, "g");
    for number in 0..messages.len() {
        assert_eq!(state.key(KeyCode::Enter.into(), Some(&rules)), Act::Nothing);
        let detail = state.detail.as_ref().unwrap();
        assert_eq!(detail.number, number as u64 + 1);
        for line in &detail.lines {
            all.push_str(&line.to_string());
            all.push('\n');
        }
        let width = [20, 72, 131][number % 3];
        let size = Size::new(width, 18);
        let mut drawn = lines(&mut state, size);
        for key in [KeyCode::Esc, KeyCode::Char('j')] {
            assert_eq!(state.key(key.into(), None), Act::Nothing);
        }
        drawn.extend(lines(&mut state, size));
        for line in &drawn {
            all.push_str(line);
            all.push('\n');
        }
    }
    for line in all.lines() {
        assert!(!line.chars().any(char::is_control), "{}", line.escape_debug());
    }
    let seen: Vec<&String> = secrets.iter().filter(|secret| all.contains(secret.as_str())).collect();
    assert_eq!(seen, Vec::<&String>::new());
}
