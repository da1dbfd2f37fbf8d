//! Names and texts that masking once missed, each with similar texts that are rightly shown.

use serde_json::json;

use super::super::*;

#[test]
fn names_that_were_missed() {
    for key in [
        "pass",
        "db_pass",
        "rabbit_pass",
        "userpass",
        "root_pw",
        "bind_pw",
        "wpa_psk",
        "ike_psk",
        "psk",
        "ssh_key",
        "client_key",
        "tls_key",
        "server_key",
        "encryption_key",
        "master_key",
        "admin_key",
        "otp",
        "pin",
        "session_id",
        "jwt",
        "bearer",
        "auth",
        "creds",
        "kubeconfig",
        "keytab",
        "webhook_url",
        "hook",
        "signature",
        "X-Amz-Signature",
    ] {
        assert!(is_secret_key(key), "{key}");
    }
    for key in [
        "key",
        "key_name",
        "public_key",
        "ssh_public_key",
        "pubkey",
        "routing_key",
        "meta_key",
        "encryption_key_id",
        "secret_ref",
        "bypass",
        "passed",
        "compass",
        "monitoring",
        "author",
        "author_id",
        "auth_url",
        "auth_type",
        "hooks_enabled",
        "opinion",
        "session",
        "keyword",
        "keys",
        "keypair_name",
        "img_signature_hash_method",
        "webhook",
    ] {
        assert!(!is_secret_key(key), "{key}");
    }
}

#[test]
fn texts_that_were_missed() {
    let check = |text: &str, expected: &str| assert_eq!(mask_text(text), expected, "{text}");
    check("got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln-_x, done", "got ***, done");
    check("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "***.");
    check("eyJhbGciOiJSU0EtT0FFUCJ9.b2s.aXY.Y3Q.dGFn behind", "*** behind");
    check("eyJ is how a token begins. eyJhbGc", "eyJ is how a token begins. eyJhbGc");
    check("https://TOKEN@host/x", "https://***@host/x");
    check("https://u;S3CRET:1@host/x", "https://***@host/x");
    check("clone https://ghp_abc@github.com/a/b.git now", "clone https://***@github.com/a/b.git now");
    check("rabbit://u:pa/ss@h now", "rabbit://u:***@h now");
    check("rabbit://u:pa?s#s/@h:5672/vh", "rabbit://u:***@h:5672/vh");
    check("rabbit://u:p@h1:5672,v:pa/ss@h2/", "rabbit://u:***@h2/");
    check("http://a:80,http://u:p@h/", "http://a:***@h/");
    check("http://[::1]:80/x@y http://h:80/x@y", "http://[::1]:80/x@y http://h:80/x@y");
    check("http://h:x/a mail@b", "http://h:x/a mail@b");
    check("https://h/o?Signature=abc&Expires=1", "https://h/o?Signature=***&Expires=1");
    check("https://h/o?X-Amz-Signature=abc&a=1", "https://h/o?X-Amz-Signature=***&a=1");
    check("mail to root@example.com at http://h/", "mail to root@example.com at http://h/");
    check(r#"{"a": "http://h", "b": "c@d""#, r#"{"a": "http://h", "b": "c@d""#);
    check("Authorization: Token x y", "Authorization: ***");
    check("Authorization=Bearer x y", "Authorization=***");
    check(
        "GET / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=host, Signature=c\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nAuthorization: ***\r\nHost: h\r\n",
    );
    check("Cookie: a=b; c=d\nAccept: */*", "Cookie: ***\nAccept: */*");
    check("<user>u</user><password>x</password>", "<user>u</user><password>***</password>");
    check("<ns:adminPass kind='a'>x y</ns:adminPass><a/>", "<ns:adminPass kind='a'>***</ns:adminPass><a/>");
    check("<password/><user>u</user>", "<password/><user>u</user>");
    check("mysql --user u --password x --host h", "mysql --user u --password *** --host h");
    check("mysql --password --host h", "mysql --password --host h");
    check("run --password='x y' z", "run --password='***' z");
    check(r#"["--user", "u", "--password", "x"]"#, r#"["--user","u","--password","***"]"#);
    check(r#"failed: ["--password", "x"], <a>"#, r#"failed: ["--password", "***"], <a>"#);
    check(r#"("password", "x")"#, "['password', '***']");
    check("[('user', 'u'), ('password', 'x')]", "[['user', 'u'], ['password', '***']]");
    check("of ('password', 'x') and <object>", "of ('password', '***') and <object>");
    check("['password', 'user', 'email']", "['password', 'user', 'email']");
    check("password: two words", "password: ***");
    check(r#"password="a \" b" and"#, r#"password="***" and"#);
    check(r#"password="a \\" b"#, r#"password="***" b"#);
    check(r#"x {\"password\": \"a \\\" b\", \"c\": 1"#, r#"x {\"password\": \"***\", \"c\": 1"#);
    check("password='never closed", "password='***");
    check("admin_pass=a,b", "admin_pass=***");
    check("f(admin_pass=a, user=u)", "f(admin_pass=***, user=u)");
    check("password=None x", "password=***");
    check("password=None, x", "password=None, x");
    check("password: None, x", "password: None, x");
    check("{'password': None, 'o': <object>}", "{'password': None, 'o': <object>}");
    check("{'pin': 1234, 'o': <object>}", "{'pin': ***, 'o': <object>}");
    check("chpasswd: list: | root:x", "chpasswd: ***");
    check(
        "chpasswd:\n  list: |\n    root:x\n    u:y\npackages:\n- vim\n",
        "chpasswd:\n  ***\npackages:\n- vim\n",
    );
    check("a: 1\npassword: |\n  x\n\n  y\nb: 2", "a: 1\npassword: |\n  ***\nb: 2");
    check("password:\nb: 2", "password:\nb: 2");
    check(r#"[{"Key": "password", "Value": "x"}]"#, r#"[{"Key":"password","Value":"***"}]"#);
    check(r#"[{"Key": "colour", "Value": "red"}]"#, r#"[{"Key": "colour", "Value": "red"}]"#);
    check(r#"{"pass\u0077ord": "x"}"#, r#"{"password":"***"}"#);
    for text in [
        "2026-11-20 06:36:22.662155",
        "fa:16:3e:00:11:22",
        "Build of instance 1 aborted: Failed to allocate the network(s), not rescheduling.",
        "a -- b --- c --help",
        "1 < 2 and 3 > 2",
        "x = 1, y: 2",
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
        "https://h:5000/v3 and ssh root@h",
    ] {
        check(text, text);
    }
}

#[test]
fn names_and_values_are_found_however_their_signs_are_written() {
    let check = |text: &str, expected: &str| assert_eq!(mask_text(text), expected, "{text}");
    check(
        "x &quot;password&quot;: &quot;a b&quot;, &quot;c&quot;",
        "x &quot;password&quot;: &quot;***&quot;, &quot;c&quot;",
    );
    check("&#39;token&#39;=&#39;a&#39; b", "&#39;token&#39;=&#39;***&#39; b");
    check(r"x \u0022password\u0022: \u0022a b\u0022 c", r"x \u0022password\u0022: \u0022***\u0022 c");
    check("next=password%3Dab%26user%3Du&x=y", "next=password%3D***%26user%3Du&x=y");
    check(
        "%7B%22password%22%3A%20%22a%20b%22%2C%22c%22%3A1%7D",
        "%7B%22password%22%3A%20%22***%22%2C%22c%22%3A1%7D",
    );
    check("a%3Db%26c%3Dd", "a%3Db%26c%3Dd");
    check("password%3D", "password%3D");
    check("server[adminPass]=ab&server[name]=n", "server[adminPass]=***&server[name]=n");
    check(r#"params["password"] = "ab" c"#, r#"params["password"] = "***" c"#);
    check("lacks ['password']: both", "lacks ['password']: both");
    check("password\u{a0}=\u{a0}ab c", "password\u{a0}=\u{a0}*** c");
    check("{r'password': R'a b', 'f': f'x'}", "{r'password': R'***', 'f': f'x'}");
    check(
        "{'''password''': '''a b''', 'f': \"\"\"x\"\"\"}",
        "{'''password''': '''***''', 'f': \"\"\"x\"\"\"}",
    );
    check("sent Bearer abcDEF0123456789 to it", "sent Bearer *** to it");
    check("no bearer authentication was offered", "no bearer authentication was offered");
    check("bearer 0123", "bearer 0123");
}

#[test]
fn lists_of_options_and_pairs_are_masked_as_values_too() {
    let check = |value: Value, expected: Value| assert_eq!(mask_secrets(&value), expected);
    check(json!(["run", "--password", "x", "-v"]), json!(["run", "--password", "***", "-v"]));
    check(json!(["--password", null, "--token=x"]), json!(["--password", null, "--token=***"]));
    check(json!([["password", "x"], ["user", "u"]]), json!([["password", "***"], ["user", "u"]]));
    check(json!(["password", "user", "email"]), json!(["password", "user", "email"]));
}
