use osnl_model::cut;
use osnl_net::http::Request;

const BODY: usize = 2048;
const VALUE: usize = 200;

/// Returns a request for people, cut: `url` is the one without secrets.
pub fn request_text(request: &Request, url: &str) -> String {
    let mut text = format!("{} {url}\n", request.method);
    for (name, value) in &request.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        text.push_str(&format!("{name}: {}\n", cut(&value, VALUE)));
    }
    if !request.body.is_empty() {
        let body = String::from_utf8_lossy(&request.body);
        text.push_str(&format!("\n{}", cut(&body, BODY)));
        if body.len() > BODY {
            text.push_str(&format!("\n({} bytes in all)", request.body.len()));
        }
    }
    text
}
