use osnl_model::to_python_json;

use super::node_detail::NodeDetail;

/// The program's template without its line feeds; the two blanks are original.
const BEFORE: &str = "<execution-context  xmlns=\"http://www.vmware.com/vco\"><parameters>\
    <parameter name=\"nodeDetails\" type=\"string\"><string>";
const BEHIND: &str = "</string></parameter></parameters></execution-context>";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyForm {
    #[default]
    Json,
    /// JSON as escaped text in XML, so that a reader gets the JSON.
    Xml,
}

impl BodyForm {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
        }
    }

    pub fn text(self, node_detail: &NodeDetail) -> Result<String, serde_json::Error> {
        let json = to_python_json(node_detail)?;
        Ok(match self {
            Self::Json => json,
            Self::Xml => format!("{BEFORE}{}{BEHIND}", escaped(&json)),
        })
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
