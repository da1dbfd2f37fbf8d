use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result};

use crate::attributes::AnnotatedStruct;
use crate::{generate, schema};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let object = AnnotatedStruct::parse(input, "a versioned object")?;
    if object.sources.is_empty()
        && let Some(field) = object.fields.iter().find(|field| field.extra)
    {
        return Err(Error::new(
            field.ident.span(),
            "without a schema every field is extra: take `extra` out, or add schema(source: Source { .. })",
        ));
    }
    let filled = schema::resolve(&object)?;
    let implementations = generate::implementations(&object, &filled)?;
    let populate = schema::populate(&object, &filled);
    Ok(quote! { #implementations #populate })
}
