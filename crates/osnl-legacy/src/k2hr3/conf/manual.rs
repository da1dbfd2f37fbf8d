use super::{Executor, LoadedConf, Scheme};

use osnl_config::ValueOrigin;

impl LoadedConf {
    /// Returns, for the log, each default on which the manual of k2hr3_osnl and the program
    /// disagree and which the file does not set. A running installation relies on the program's
    /// values.
    #[must_use]
    pub fn manual_differences(&self) -> Vec<String> {
        let is_open = |group: &str, option: &str| self.origin(group, option) == ValueOrigin::Default;
        let k2hr3 = &self.conf.k2hr3;
        let default = |option: &str, ours: &str, manual: &str| {
            format!("{option} = {ours}, the program's default (the manual's is {manual})")
        };
        let mut differences = Vec::new();
        if is_open("DEFAULT", "debug_level") {
            differences.push(default("debug_level", "info", "warning"));
        }
        if is_open("k2hr3", "max_retries") {
            differences.push(if is_open("k2hr3", "retries") {
                default("max_retries", "5", "retries = 3")
            } else {
                format!("retries = {}, which the manual has and the program ignored", k2hr3.max_retries)
            });
        }
        if is_open("k2hr3", "allow_self_signed_cert") && k2hr3.api_url.scheme() == Scheme::Https {
            differences.push(default("allow_self_signed_cert", "False", "True"));
        }
        if is_open("k2hr3", "requeue_on_error") {
            differences.push(default("requeue_on_error", "False", "True"));
        }
        if self.conf.oslo_messaging_notifications.executor == Executor::Eventlet {
            differences.push("executor = eventlet, which is accepted and has no effect".to_owned());
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::super::Conf;

    #[test]
    fn what_the_file_leaves_open_is_told_and_nothing_else() {
        let check = |text: &str, expected: &[&str]| {
            let loaded = Conf::from_text("k.conf", text).unwrap();
            assert_eq!(loaded.manual_differences(), expected, "{text}");
        };
        let level = "debug_level = info, the program's default (the manual's is warning)";
        let retries = "max_retries = 5, the program's default (the manual's is retries = 3)";
        let certificate = "allow_self_signed_cert = False, the program's default (the manual's is True)";
        let requeue = "requeue_on_error = False, the program's default (the manual's is True)";
        check("", &[level, retries, certificate, requeue]);
        check("[k2hr3]\napi_url = http://h/\n", &[level, retries, requeue]);
        check(
            "[k2hr3]\nretries = 3\nrequeue_on_error = no\nallow_self_signed_cert = no\n[DEFAULT]\ndebug_level = warn\n",
            &["retries = 3, which the manual has and the program ignored"],
        );
        check(
            "[k2hr3]\nmax_retries = 3\nrequeue_on_error = no\napi_url = http://h/\n[DEFAULT]\ndebug_level = warn\n\
             [oslo_messaging_notifications]\nexecutor = eventlet\n",
            &["executor = eventlet, which is accepted and has no effect"],
        );
    }
}
