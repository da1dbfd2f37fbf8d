use super::CallRequest;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    Request { method: String, url: String, headers: Vec<(String, String)>, body: Option<String> },
    Line { to: String },
    Effect { does: String, with: Vec<(&'static str, String)> },
    Nothing { why: String },
    NotAsked { why: String },
    Undecided { why: String },
    Unusable { why: String },
}

impl Preview {
    pub fn line(to: String, wanted: &CallRequest<'_>) -> Self {
        match wanted.enrichments() {
            None => Self::Line { to },
            Some(enrichments) => Self::Effect { does: format!("a line in {to}"), with: vec![enrichments] },
        }
    }
}
