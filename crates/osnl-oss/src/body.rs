//! The body of the request: a node detail as JSON, or in the program's XML.

use osnl_model::to_python_json;

use super::node_detail::NodeDetail;

/// The program's template, without its line feeds; the two blanks are its own.
const BEFORE: &str = "<execution-context  xmlns=\"http://www.vmware.com/vco\"><parameters>\
    <parameter name=\"nodeDetails\" type=\"string\"><string>";
const BEHIND: &str = "</string></parameter></parameters></execution-context>";

/// The form in which a node detail is posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyForm {
    /// As JSON.
    #[default]
    Json,
    /// As a text in XML, escaped: what reads it gets the JSON.
    Xml,
    /// As the program wrote it, not escaped: a `<` or `&` in metadata makes it ill-formed, or something else.
    XmlUnescaped,
}

impl BodyForm {
    /// `Content-Type`
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml | Self::XmlUnescaped => "application/xml",
        }
    }

    /// The text: JSON as Python's `json.dumps` writes it, so only ASCII.
    ///
    /// # Errors
    /// The error of `serde_json`; a node detail has nothing that it could refuse.
    pub fn text(self, node_detail: &NodeDetail) -> Result<String, serde_json::Error> {
        let json = to_python_json(node_detail)?;
        Ok(match self {
            Self::Json => json,
            Self::Xml => format!("{BEFORE}{}{BEHIND}", escaped(&json)),
            Self::XmlUnescaped => format!("{BEFORE}{json}{BEHIND}"),
        })
    }
}

/// As content of an element. Quotes may stand there, and `]]>` has lost its `>`.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
