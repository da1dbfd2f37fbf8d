use serde_json::Value;

use crate::fixture;

/// A message that k2hr3_osnl's manual prints in its section 3.2, and the request that it makes.
///
/// Marks of omission are left out. In the manual the braces of nova's versioned message do not match: here its priority
/// and its publisher stand where oslo.messaging writes them. The manual names the third kind without its text.
#[derive(Debug)]
pub struct PrintedMessage {
    pub body: String,
    pub exchange: String,
    pub topic: String,
    /// The path and the query of the DELETE.
    pub request: String,
    options: Vec<(String, String)>,
}

impl PrintedMessage {
    #[must_use]
    pub fn all() -> Vec<Self> {
        let Value::Array(printed) = fixture::json("k2hr3/manual/messages.json") else { return Vec::new() };
        printed.iter().map(Self::from_fixture).collect()
    }

    fn from_fixture(fixture: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let options = fixture["options"].as_object().unwrap();
        Self {
            body: fixture::text(&format!("k2hr3/manual/{}", text(&fixture["body"]))),
            exchange: text(&fixture["exchange"]),
            topic: text(&fixture["topic"]),
            request: text(&fixture["request"]),
            options: options.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        }
    }

    /// Returns a configuration that the manual prints, with the options that select this message.
    #[must_use]
    pub fn conf(&self, printed: &str) -> String {
        let mut missing: Vec<&str> = self.options.iter().map(|(name, _)| &**name).collect();
        let lines = printed.lines().map(|line| {
            let name = line.split(" = ").next().unwrap_or_default();
            match self.options.iter().find(|(option, _)| option == name) {
                Some((name, value)) => {
                    missing.retain(|option| option != name);
                    format!("{name} = {value}\n")
                }
                None => format!("{line}\n"),
            }
        });
        let conf = lines.collect();
        assert!(missing.is_empty(), "the file has no {}: {printed}", missing.join(", "));
        conf
    }
}
