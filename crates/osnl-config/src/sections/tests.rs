use super::{LayeredValue, Layers, Schema, SectionDef};
use crate::{Ini, OptionDef, Value, ValueOrigin};

static SCHEMA: Schema = Schema::oslo(
    &[
        SectionDef::new(
            "DEFAULT",
            "",
            &[
                text("url").or("x://u:secret@h").secret(),
                text("copy").or("$url").secret(),
                text("plain").or("p"),
            ],
        ),
        SectionDef::new("g", "", &[text("plain").or("q"), text("word").or("${plain}${g.plain}$url")]),
    ],
    &[],
);

const fn text(name: &'static str) -> OptionDef {
    OptionDef::new(name, "text", "")
}

#[test]
fn the_later_layer_wins_and_values_know_their_origin() {
    let mut layers = Layers::new(&SCHEMA);
    assert_eq!(layers.origin("g", "plain"), ValueOrigin::Default);
    for (text, line) in [("[g]\nplain = 1\nplain = 2\n", 3), ("[G]\nplain = 3\n", 2)] {
        let (ini, _) = Ini::parse(text, text);
        assert_eq!(layers.apply(&ini).warnings, []);
        assert_eq!(layers.origin("g", "plain"), ValueOrigin::File { path: text.to_owned(), line });
    }
    let Ok(LayeredValue { value: Some(Value::Text(text)), .. }) = layers.read("g", "plain") else {
        panic!("no text");
    };
    assert_eq!(text, "3");
    assert_eq!(layers.inputs().len(), 2, "a file that is overridden has set something too");
    assert!(!layers.set("g", "nothing", "", ValueOrigin::Default));
    assert!(layers.read("g", "nothing").is_err());
}

#[test]
fn a_secret_goes_into_secrets_only() {
    let layers = Layers::new(&SCHEMA);
    let reading = layers.read("DEFAULT", "copy").unwrap();
    assert_eq!(reading.value, Some(Value::Text("x://u:secret@h".to_owned())));
    assert!(!format!("{reading:?}{layers:?}").contains("secret@"), "{reading:?}");
    assert_eq!(
        layers.read("g", "word").unwrap_err().problem,
        "$url names a secret, which only a secret option may repeat"
    );
}
