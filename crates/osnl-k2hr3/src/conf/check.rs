//! From settings to [`Conf`]: every option once, in the order of the manual, collecting all that is wrong.

use osnl::transport_url;
use osnl_config::{ConfigError, Finding, Origin, Reading, Settings, Value, Warning, shown, typed};
use osnl_model::{Pattern, PatternError, TransportUrl};

use super::ApiUrl;
use super::journal::journal;
use super::options::{Conf, Executor, K2hr3Options, Level, LogFile, NotificationOptions};
use super::schema::{DEFAULT, DEFAULT_API_URL, K2HR3, NOTIFICATIONS};

/// AMQP's limit for names, in bytes.
const LONGEST_NAME: usize = 255;
/// The routing key is the topic and `.info`.
const LONGEST_TOPIC: usize = LONGEST_NAME - ".info".len();
/// The longest time-out of Python's sockets: their wait is in milliseconds and 31 bits.
const LONGEST_TIMEOUT: u32 = 2_147_483;

/// `None` goes with at least one error. `file` is what a finding without a line is about.
pub(super) fn check(file: &str, settings: &Settings) -> (Option<Conf>, Vec<ConfigError>, Vec<Warning>) {
    let mut checker = Checker { file, settings, errors: Vec::new(), warnings: Vec::new() };
    let conf = checker.conf();
    (conf, checker.errors, checker.warnings)
}

pub(super) struct Checker<'a> {
    file: &'a str,
    pub(super) settings: &'a Settings,
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

impl Checker<'_> {
    fn conf(&mut self) -> Option<Conf> {
        // Each of these reports what is wrong with its own options; only then does a None end it.
        let debug_level = self.level("debug_level");
        let log_file = self.log_file();
        let libs_debug_level = self.level("libs_debug_level");
        let notifications = self.notifications();
        let k2hr3 = self.k2hr3();
        let journal = journal(self);
        Some(Conf {
            debug_level: debug_level?,
            log_file: log_file?,
            libs_debug_level: libs_debug_level?,
            oslo_messaging_notifications: notifications?,
            k2hr3: k2hr3?,
            journal: journal?,
        })
    }

    fn notifications(&mut self) -> Option<NotificationOptions> {
        let event_type = self.pattern("event_type");
        let publisher_id = self.pattern("publisher_id");
        let context = self.patterns("context");
        let metadata = self.patterns("metadata");
        let payload = self.patterns("payload");
        let transport_url = self.transport_url();
        let topic = self.broker_name("topic", LONGEST_TOPIC);
        let exchange = self.broker_name("exchange", LONGEST_NAME);
        let executor = self.executor();
        let pool = self.broker_name("pool", LONGEST_NAME);
        let allow_requeue = self.boolean(NOTIFICATIONS, "allow_requeue");
        Some(NotificationOptions {
            event_type: event_type?,
            publisher_id: publisher_id?,
            context: context?,
            metadata: metadata?,
            payload: payload?,
            transport_url: transport_url?,
            topic: topic?,
            exchange: exchange?,
            executor: executor?,
            pool: pool?,
            allow_requeue: allow_requeue?,
        })
    }

    fn k2hr3(&mut self) -> Option<K2hr3Options> {
        let api_url = self.api_url();
        let timeout_seconds = self.seconds("timeout_seconds", 30, 1);
        let max_retries = self.max_retries();
        let retry_interval_seconds = self.seconds("retry_interval_seconds", 60, 0);
        let allow_self_signed_cert = self.boolean(K2HR3, "allow_self_signed_cert");
        let requeue_on_error = self.boolean(K2HR3, "requeue_on_error");
        Some(K2hr3Options {
            api_url: api_url?,
            timeout_seconds: timeout_seconds?,
            max_retries: max_retries?,
            retry_interval_seconds: retry_interval_seconds?,
            allow_self_signed_cert: allow_self_signed_cert?,
            requeue_on_error: requeue_on_error?,
        })
    }

    fn level(&mut self, option: &str) -> Option<Level> {
        self.text(DEFAULT, option).and_then(|word| Level::from_word(&word))
    }

    fn log_file(&mut self) -> Option<LogFile> {
        let text = self.text(DEFAULT, "log_file")?;
        match text.as_str() {
            "sys.stderr" => Some(LogFile::Stderr),
            "" => self.refuse(DEFAULT, "log_file", "is empty", "write sys.stderr or the path of a file"),
            path => {
                if path == "sys.stdout" {
                    self.warn(
                        DEFAULT,
                        "log_file",
                        "the log goes to a file of that name",
                        "sys.stderr is the only stream",
                    );
                }
                Some(LogFile::Path(path.into()))
            }
        }
    }

    fn pattern(&mut self, option: &str) -> Option<Pattern> {
        let text = self.text(NOTIFICATIONS, option)?;
        if text.is_empty() {
            self.warn(
                NOTIFICATIONS,
                option,
                "is empty, so every message matches",
                "remove the line to get the default",
            );
        }
        match Pattern::new(&text) {
            Ok(pattern) => Some(pattern),
            Err(error) => self.bad_pattern(option, "", &error),
        }
    }

    fn patterns(&mut self, option: &str) -> Option<Vec<(String, Pattern)>> {
        let pairs = match self.value(NOTIFICATIONS, option)?.value {
            Some(Value::Dict(pairs)) => pairs,
            Some(Value::Text(_) | Value::Bool(_) | Value::Integer(_)) | None => Vec::new(),
        };
        let mut patterns = Vec::new();
        let mut all = true;
        for (name, text) in pairs {
            self.look_for_comment(NOTIFICATIONS, option, &text);
            match Pattern::new(&text) {
                Ok(pattern) => patterns.push((name, pattern)),
                Err(error) => {
                    all = false;
                    self.bad_pattern::<()>(option, &format!(" for {}", shown(&name)), &error);
                }
            }
        }
        all.then_some(patterns)
    }

    fn bad_pattern<T>(&mut self, option: &str, of: &str, error: &PatternError) -> Option<T> {
        self.refused(NOTIFICATIONS, option, typed::bad_pattern(of, error))
    }

    fn transport_url(&mut self) -> Option<TransportUrl> {
        const OPTION: &str = "transport_url";
        let text = self.text(NOTIFICATIONS, OPTION)?;
        match transport_url::check(&text) {
            Ok(url) => {
                if text.is_empty() {
                    let allowed = "name the broker or remove the line";
                    let problem = "is blank, which means guest at rabbit://localhost";
                    self.warn(NOTIFICATIONS, OPTION, problem, allowed);
                }
                Some(url)
            }
            Err(refusal) => self.refused(NOTIFICATIONS, OPTION, refusal),
        }
    }

    /// A name that becomes an exchange, a queue or a part of a routing key.
    fn broker_name(&mut self, option: &str, longest: usize) -> Option<String> {
        let text = self.text(NOTIFICATIONS, option)?;
        if text.is_empty() {
            return self.refuse(NOTIFICATIONS, option, "is empty", "write a name or remove the line");
        }
        if text.len() > longest {
            let allowed = format!("at most {longest} bytes");
            return self.refuse(NOTIFICATIONS, option, "is too long for the broker", &allowed);
        }
        if text.contains(char::is_control) || text.trim() != text {
            self.warn(
                NOTIFICATIONS,
                option,
                "the name has blanks around it or line ends in it, and is used like that",
                "put it behind the `=`, on one line",
            );
        }
        Some(text)
    }

    fn executor(&mut self) -> Option<Executor> {
        match self.text(NOTIFICATIONS, "executor")?.as_str() {
            "threading" => Some(Executor::Threading),
            "eventlet" => Some(Executor::Eventlet),
            // The schema lets no other word through.
            _ => None,
        }
    }

    fn api_url(&mut self) -> Option<ApiUrl> {
        const OPTION: &str = "api_url";
        let text = self.text(K2HR3, OPTION)?;
        if self.settings.origin(K2HR3, OPTION) == Origin::Default {
            self.warn(
                K2HR3,
                OPTION,
                &format!("not set, {DEFAULT_API_URL} is used"),
                "write the URL of your role API (k2hr3_osnl's default lacked a colon and failed for every message)",
            );
        }
        match ApiUrl::parse(&text) {
            Ok(url) => {
                if url.has_query() {
                    self.warn(
                        K2HR3,
                        OPTION,
                        "the query is kept and parameters follow it with \"&\"",
                        "k2hr3_osnl sent a second \"?\"",
                    );
                }
                Some(url)
            }
            Err(error) => self.refuse(K2HR3, OPTION, error.problem, error.allowed),
        }
    }

    fn max_retries(&mut self) -> Option<u32> {
        let max_retries = self.integer(K2HR3, "max_retries", 5);
        let (option, count) = match self.settings.origin(K2HR3, "retries") {
            Origin::Default => ("max_retries", max_retries?),
            Origin::File { .. } | Origin::Environment { .. } | Origin::CommandLine { .. } => {
                // Read even when it does not count: a wrong value is reported either way.
                let retries = self.integer(K2HR3, "retries", 5);
                match self.settings.origin(K2HR3, "max_retries") {
                    Origin::Default => ("retries", retries?),
                    origin @ (Origin::File { .. }
                    | Origin::Environment { .. }
                    | Origin::CommandLine { .. }) => {
                        self.warn(
                            K2HR3,
                            "retries",
                            &format!("ignored, because max_retries is set too ({origin})"),
                            "leave one of them out",
                        );
                        retries?;
                        ("max_retries", max_retries?)
                    }
                }
            }
        };
        if count < 0 {
            self.warn(K2HR3, option, "a negative number acts as 0", "write 0 to make each call once");
            return Some(0);
        }
        match u32::try_from(count) {
            Ok(count) => Some(count),
            Err(_) => {
                let allowed = format!("allowed: 0 to {}", u32::MAX);
                self.refuse(K2HR3, option, &format!("{count} is out of range"), &allowed)
            }
        }
    }

    fn seconds(&mut self, option: &str, default: i64, least: u32) -> Option<u32> {
        let number = self.integer(K2HR3, option, default)?;
        match u32::try_from(number) {
            Ok(seconds) if (least..=LONGEST_TIMEOUT).contains(&seconds) => Some(seconds),
            Ok(_) | Err(_) => {
                let allowed = format!("allowed: {least} to {LONGEST_TIMEOUT} seconds");
                self.refuse(K2HR3, option, &format!("{number} is out of range"), &allowed)
            }
        }
    }

    pub(super) fn boolean(&mut self, group: &str, option: &str) -> Option<bool> {
        match self.value(group, option)?.value {
            Some(Value::Bool(value)) => Some(value),
            Some(Value::Text(_) | Value::Integer(_) | Value::Dict(_)) | None => None,
        }
    }

    /// `default` stands in for a blank value, which oslo reads as no number at all.
    pub(super) fn integer(&mut self, group: &str, option: &str, default: i64) -> Option<i64> {
        match self.value(group, option)?.value {
            Some(Value::Integer(number)) => Some(number),
            Some(Value::Text(_) | Value::Bool(_) | Value::Dict(_)) => None,
            None => {
                let problem = format!("is blank, the default {default} is used");
                self.warn(group, option, &problem, "write a number or remove the line");
                Some(default)
            }
        }
    }

    pub(super) fn text(&mut self, group: &str, option: &str) -> Option<String> {
        match self.value(group, option)?.value {
            Some(Value::Text(text)) => {
                self.look_for_comment(group, option, &text);
                Some(text)
            }
            Some(Value::Bool(_) | Value::Integer(_) | Value::Dict(_)) | None => None,
        }
    }

    fn look_for_comment(&mut self, group: &str, option: &str, text: &str) {
        if text.contains(" # ") {
            self.warn(
                group,
                option,
                "the # and what follows belong to the value",
                "a comment needs a line of its own",
            );
        }
    }

    fn value(&mut self, group: &str, option: &str) -> Option<Reading> {
        match self.settings.read(group, option) {
            Ok(reading) => Some(reading),
            Err(error) => self.refused(group, option, error.into()),
        }
    }

    pub(super) fn refuse<T>(&mut self, group: &str, option: &str, problem: &str, allowed: &str) -> Option<T> {
        self.errors.push(ConfigError(self.finding(group, option, problem).allowed(allowed)));
        None
    }

    fn refused<T>(&mut self, group: &str, option: &str, refusal: typed::Refusal) -> Option<T> {
        let mut finding = self.finding(group, option, &refusal.problem).allowed(refusal.allowed);
        finding.suggestion = refusal.suggestion;
        self.errors.push(ConfigError(finding));
        None
    }

    pub(super) fn warn(&mut self, group: &str, option: &str, problem: &str, allowed: &str) {
        self.warnings.push(Warning(self.finding(group, option, problem).allowed(allowed)));
    }

    fn finding(&self, group: &str, option: &str, problem: &str) -> Finding {
        Finding::of(self.file, problem)
            .group(group)
            .option(option)
            .from_origin(&self.settings.origin(group, option))
    }
}
