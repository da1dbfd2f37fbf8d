use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Error, Ident, Result};

use crate::attributes::{AnnotatedStruct, ObjectField, default_value};

pub(crate) struct FieldSource<'a> {
    pub(crate) object: &'a Ident,
    pub(crate) field: Ident,
    span: Span,
}

/// Returns the source of each field, in the order of the fields; `None` for extra fields.
pub(crate) fn resolve<'a>(object: &'a AnnotatedStruct<'_>) -> Result<Vec<Option<FieldSource<'a>>>> {
    let mut filled: Vec<Option<FieldSource<'a>>> = object.fields.iter().map(|_| None).collect();
    for source in &object.sources {
        for pair in &source.pairs {
            let at = object.fields.iter().position(|field| *field.ident == pair.key);
            let at = at.ok_or_else(|| no_such_field(object, &pair.key))?;
            let (key, span) = (&pair.key, pair.key.span());
            if object.fields[at].extra {
                return Err(Error::new(
                    span,
                    format!("`{key}` is extra: take `extra` or the key in the schema out"),
                ));
            }
            if filled[at].is_some() {
                return Err(Error::new(span, format!("`{key}` is filled twice: one source is enough")));
            }
            filled[at] = Some(FieldSource { object: &source.name, field: pair.source.clone(), span });
        }
    }
    let mut rests = object.sources.iter().filter_map(|source| Some((source, source.rest?)));
    if let Some((source, span)) = rests.next() {
        if let Some((_, again)) = rests.next() {
            return Err(Error::new(
                again,
                "only one source can fill all the rest: name the fields of the others",
            ));
        }
        let open = object.fields.iter().zip(&mut filled).filter(|(field, by)| !field.extra && by.is_none());
        for (field, by) in open {
            let span = field.ident.span().located_at(span);
            *by = Some(FieldSource { object: &source.name, field: field.ident.clone(), span });
        }
    }
    Ok(filled)
}

fn no_such_field(object: &AnnotatedStruct<'_>, key: &Ident) -> Error {
    let names: Vec<String> = object.fields.iter().map(|field| format!("`{}`", field.ident)).collect();
    Error::new(
        key.span(),
        format!(
            "`{key}` is not a field of `{}`: a schema names the payload's fields (write `field = source_field` if the \
             source calls it otherwise). They are {}",
            object.input.ident,
            names.join(", ")
        ),
    )
}

pub(crate) fn populate(object: &AnnotatedStruct<'_>, filled: &[Option<FieldSource<'_>>]) -> TokenStream {
    if object.sources.is_empty() {
        return TokenStream::new();
    }
    let (ident, vis, krate) = (&object.input.ident, &object.input.vis, &object.krate);
    let extra: Vec<&ObjectField<'_>> =
        object.fields.iter().zip(filled).filter(|(_, by)| by.is_none()).map(|(field, _)| field).collect();
    let extra_ident = format_ident!("{ident}Extra");
    let extra_doc =
        format!("The fields of [`{ident}`] that its schema does not fill: all of them are asked for.");
    let extra_struct = (!extra.is_empty()).then(|| {
        let fields = extra.iter().map(|field| {
            let (name, ty) = (field.ident, &field.field.ty);
            let docs = docs(&field.field.attrs);
            quote! { #(#docs)* #vis #name: #ty }
        });
        quote! {
            #[doc = #extra_doc]
            #[derive(Clone)]
            #vis struct #extra_ident { #(#fields,)* }
        }
    });
    let extra_argument = (!extra.is_empty()).then(|| quote! { extra: #extra_ident });
    let sources = object.sources.iter().map(|source| {
        let (name, ty) = (&source.name, &source.ty);
        quote! { #name: &#ty, }
    });
    let values = object.fields.iter().zip(filled).map(|(field, by)| {
        let (name, ty) = (field.ident, &field.field.ty);
        let Some(FieldSource { object: source, field: source_field, span }) = by else {
            return quote! { #name: extra.#name };
        };
        let taken = quote_spanned! { *span=> &#source.#source_field };
        match &field.default {
            Some(default) if !field.is_option() => {
                let default = default_value(default);
                quote_spanned! { *span=> #name: <_ as #krate::FillsOr<#ty>>::fill_or(#taken, || #default) }
            }
            Some(_) | None => quote_spanned! { *span=> #name: <_ as #krate::Fills<#ty>>::fill(#taken) },
        }
    });
    quote! {
        #extra_struct

        impl #ident {
            /// Fills the fields that the schema names from the sources, by name.
            #vis fn populate(#(#sources)* #extra_argument) -> Self {
                Self { #(#values,)* }
            }
        }
    }
}

fn docs(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).collect()
}
