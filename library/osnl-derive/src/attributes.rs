//! Parses `#[versioned(…)]`; every error says which attributes are allowed there.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parse;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, ExprUnary, Field, Fields, Ident, Lit, LitStr, Path,
    Result, Token, Type, UnOp, parenthesized, parse_quote,
};

use crate::source::SourceDeclaration;

pub(crate) struct AnnotatedStruct<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) namespace: String,
    pub(crate) version: (u32, u32),
    pub(crate) name: String,
    pub(crate) serial_namespace: String,
    pub(crate) timestamps: bool,
    pub(crate) changes: bool,
    pub(crate) schema_in_fingerprint: bool,
    pub(crate) mask: Option<Path>,
    pub(crate) krate: Path,
    pub(crate) sources: Vec<SourceDeclaration>,
    pub(crate) fields: Vec<ObjectField<'a>>,
}

pub(crate) struct ObjectField<'a> {
    pub(crate) field: &'a Field,
    pub(crate) ident: &'a Ident,
    pub(crate) name: String,
    pub(crate) extra: bool,
    pub(crate) default: Option<Expr>,
    pub(crate) since: Option<(u32, u32)>,
    pub(crate) kind: Option<String>,
    pub(crate) values: Option<Vec<LitStr>>,
}

impl ObjectField<'_> {
    pub(crate) fn is_option(&self) -> bool {
        match &self.field.ty {
            Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Option"),
            _ => false,
        }
    }
}

pub(crate) fn default_crate() -> Path {
    parse_quote!(::osnl_notify::versioned)
}

pub(crate) fn path_value(meta: &ParseNestedMeta<'_>) -> Result<Path> {
    meta.value()?.call(Path::parse_mod_style)
}

impl<'a> AnnotatedStruct<'a> {
    pub(crate) fn parse(input: &'a DeriveInput, what: &str) -> Result<Self> {
        if !input.generics.params.is_empty() {
            return Err(Error::new(
                input.generics.span(),
                format!("{what} has one form on the wire: take the type parameters out"),
            ));
        }
        let mut namespace = None;
        let mut version = None;
        let mut object = Self {
            input,
            namespace: String::new(),
            version: (0, 0),
            name: input.ident.to_string(),
            serial_namespace: String::new(),
            timestamps: false,
            changes: false,
            schema_in_fingerprint: false,
            mask: None,
            krate: default_crate(),
            sources: Vec::new(),
            fields: Vec::new(),
        };
        each(&input.attrs, |meta| {
            match word(meta).as_str() {
                "namespace" => namespace = Some(text(meta)?),
                "version" => version = Some(version_text(meta)?),
                "name" => object.name = text(meta)?,
                "serial_namespace" => object.serial_namespace = text(meta)?,
                "timestamps" => object.timestamps = true,
                "changes" => object.changes = true,
                "schema_in_fingerprint" => object.schema_in_fingerprint = true,
                "mask" => object.mask = Some(path_value(meta)?),
                "crate" => object.krate = path_value(meta)?,
                "schema" => object.sources = list::<SourceDeclaration>(meta)?,
                _ => {
                    return Err(meta.error(
                        "unknown attribute; a struct takes namespace, version, name, serial_namespace, timestamps, \
                         changes, schema_in_fingerprint, mask, schema(…) and crate",
                    ));
                }
            }
            Ok(())
        })?;
        let missing = |attribute: &str| {
            Error::new(
                Span::call_site(),
                format!(
                    "{what} says {attribute}: #[versioned(namespace = \"my_service\", version = \"1.0\")]"
                ),
            )
        };
        object.namespace = namespace.ok_or_else(|| missing("its namespace"))?;
        object.version = version.ok_or_else(|| missing("its version"))?;
        if object.serial_namespace.is_empty() {
            object.serial_namespace = format!("{}_object", object.namespace);
        }
        object.fields = fields(input, what)?;
        object.check_since()?;
        Ok(object)
    }

    fn check_since(&self) -> Result<()> {
        let later = |field: &&ObjectField<'_>| field.since.is_some_and(|since| since > self.version);
        let Some(field) = self.fields.iter().find(later) else { return Ok(()) };
        let (major, minor) = self.version;
        let (ident, (since_major, since_minor)) = (field.ident, field.since.unwrap_or_default());
        Err(Error::new(
            ident.span(),
            format!(
                "`{ident}` came with {since_major}.{since_minor}, and the class is still {major}.{minor}: raise the \
                 version of the class"
            ),
        ))
    }
}

fn fields<'a>(input: &'a DeriveInput, what: &str) -> Result<Vec<ObjectField<'a>>> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => Some(&named.named),
            Fields::Unnamed(_) | Fields::Unit => None,
        },
        Data::Enum(_) | Data::Union(_) => None,
    };
    let named = named.ok_or_else(|| {
        Error::new(
            input.ident.span(),
            format!("{what} is a struct with named fields: their names are the keys"),
        )
    })?;
    let mut fields: Vec<ObjectField<'a>> = Vec::new();
    for field in named {
        let parsed = ObjectField::parse(field)?;
        if fields.iter().any(|other| other.name == parsed.name) {
            return Err(Error::new(
                parsed.ident.span(),
                format!("there is a field `{}` already: keys on the wire are different", parsed.name),
            ));
        }
        fields.push(parsed);
    }
    Ok(fields)
}

impl<'a> ObjectField<'a> {
    fn parse(field: &'a Field) -> Result<Self> {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "the field has no name"))?;
        let name = ident.to_string();
        let mut parsed = Self {
            field,
            ident,
            name: name.strip_prefix("r#").unwrap_or(&name).to_owned(),
            extra: false,
            default: None,
            since: None,
            kind: None,
            values: None,
        };
        each(&field.attrs, |meta| {
            match word(meta).as_str() {
                "extra" => parsed.extra = true,
                "default" => parsed.default = Some(meta.value()?.parse()?),
                "since" => parsed.since = Some(version_text(meta)?),
                "name" => parsed.name = text(meta)?,
                "kind" => parsed.kind = Some(text(meta)?),
                "values" => parsed.values = Some(list::<LitStr>(meta)?),
                _ => {
                    return Err(meta.error(
                        "unknown attribute; a field takes extra, default, since, name, kind and values(…)",
                    ));
                }
            }
            Ok(())
        })?;
        if let (Some(values), None) = (&parsed.values, &parsed.kind) {
            let span = values.first().map_or_else(Span::call_site, LitStr::span);
            return Err(Error::new(span, "values have the name of their enum: add kind = \"InstanceState\""));
        }
        Ok(parsed)
    }
}

pub(crate) fn each(
    attributes: &[Attribute],
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("versioned")) {
        attribute.parse_nested_meta(|meta| read(&meta))?;
    }
    Ok(())
}

pub(crate) fn word(meta: &ParseNestedMeta<'_>) -> String {
    meta.path.get_ident().map(Ident::to_string).unwrap_or_default()
}

pub(crate) fn text(meta: &ParseNestedMeta<'_>) -> Result<String> {
    meta.value()?.parse::<LitStr>().map(|text| text.value())
}

fn list<T: Parse>(meta: &ParseNestedMeta<'_>) -> Result<Vec<T>> {
    let content;
    parenthesized!(content in meta.input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

fn version_text(meta: &ParseNestedMeta<'_>) -> Result<(u32, u32)> {
    let literal: Lit = meta.value()?.parse()?;
    let parts = match &literal {
        Lit::Str(text) => text.value().split_once('.').and_then(|(major, minor)| {
            let number = |part: &str| -> Option<u32> {
                let plain = part.bytes().all(|byte| byte.is_ascii_digit());
                let shortest = part.len() == 1 || !part.starts_with('0');
                if plain && shortest { part.parse().ok() } else { None }
            };
            Some((number(major)?, number(minor)?))
        }),
        _ => None,
    };
    parts.ok_or_else(|| {
        Error::new(literal.span(), "a version is the text of a major and a minor number, such as \"1.10\"")
    })
}

/// The default in two forms: as Python's `str()` writes it, and as a Rust value.
pub(crate) fn default_text(default: &Expr) -> Result<String> {
    let text = match default {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => {
            Some(if flag.value { "True" } else { "False" }.to_owned())
        }
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Some(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => Some(python_float(number.base10_parse()?)),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => Some(format!("-{}", default_text(expr)?)),
        Expr::Block(block) if block.block.stmts.is_empty() => Some("{}".to_owned()),
        Expr::Array(array) if array.elems.is_empty() => Some("[]".to_owned()),
        Expr::Path(path) if path.path.is_ident("None") => Some("None".to_owned()),
        _ => None,
    };
    text.ok_or_else(|| {
        Error::new(default.span(), "a default is a text, a number, true, false, [], {} or None")
    })
}

/// Writes a number as Python's `repr`, whose exponents have a sign and two digits.
fn python_float(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

pub(crate) fn default_value(default: &Expr) -> TokenStream {
    match default {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => quote! { ::core::convert::From::from(#text) },
        Expr::Array(_) | Expr::Block(_) => quote! { ::core::default::Default::default() },
        other => quote! { #other },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_are_written_as_by_python() {
        for text in ["0.5", "100.0", "0.0001", "1e-05", "2.5e-10", "1e+16", "1.5e+300"] {
            assert_eq!(super::python_float(text.parse().unwrap()), text);
        }
    }
}
