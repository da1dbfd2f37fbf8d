//! The option `when`, and findings about constant conditions.

use osnl_config::sections::SectionReader;
use osnl_config::template::conjuncts::{outside, text};
use osnl_config::template::{Expression, TemplateError};

use crate::action::driver::NativeReader;

pub(super) fn read(reader: &mut SectionReader<'_>, more: &[&str]) -> Result<Option<Expression>, ()> {
    let compiled = reader.compiled("when", |text| {
        if text.trim_start().starts_with("- ") {
            let problem = "would be read as a negative number, not as a list";
            let allowed = "write and between the conditions, and begin each further line with a space";
            return Err(TemplateError::at_begin(problem, allowed));
        }
        Expression::compile(text, more)
    })?;
    if let Some(when) = &compiled {
        warn_of_constant(reader, when);
    }
    Ok(compiled)
}

fn warn_of_constant(reader: &mut SectionReader<'_>, when: &Expression) {
    match when.constant() {
        Some(Ok(true)) => {
            let problem = "is true for every event: it names no field";
            return reader.warn("when", problem, "remove the line, or name a field, such as payload.state");
        }
        Some(Ok(false)) => {
            let problem = "is false for every event: it names no field";
            return reader.warn(
                "when",
                problem,
                "name a field, such as payload.state; enabled = false disables a rule",
            );
        }
        Some(Err(_)) | None => {}
    }
    if let Some(always) = always_true(when.source()) {
        let always = if when.compares_secret() { "***" } else { always };
        let problem = format!("is always true: the operand after or is the constant {always}");
        reader.warn("when", &problem, "write value in [\"a\", \"b\"], or the comparison on both sides");
    }
}

/// Returns a text as a side of a top-level `or`, as in `priority == "info" or "warn"`.
fn always_true(source: &str) -> Option<&str> {
    let mut sides = Vec::new();
    let mut rest = source;
    while let Some((before, behind)) = outside(rest, " or ") {
        sides.push(before);
        rest = behind;
    }
    sides.push(rest.trim());
    let mut further = sides.into_iter().skip(1);
    further.find(|side| text(side).is_some_and(|text| !text.is_empty()))
}
