//! The parts of the output that payloads and notifications share.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Result;
use syn::spanned::Spanned as _;

use crate::attributes::{AnnotatedStruct, ObjectField, default_text, default_value};
use crate::schema::FieldSource;

pub(crate) fn implementations(
    object: &AnnotatedStruct<'_>,
    filled: &[Option<FieldSource<'_>>],
) -> Result<TokenStream> {
    let (ident, krate) = (&object.input.ident, &object.krate);
    let info = info(object, filled)?;
    let idents: Vec<_> = object.fields.iter().map(|field| field.ident).collect();
    let names: Vec<_> = object.fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = object.fields.iter().map(|field| &field.field.ty).collect();
    let defaults = object.fields.iter().map(|field| match &field.default {
        Some(default) if !field.is_option() => {
            let default = default_value(default);
            quote! { ::core::option::Option::Some(|| #default) }
        }
        Some(_) | None => quote! { ::core::option::Option::None },
    });
    let hook = object.mask.as_ref().map(|hook| quote! { #hook(self); });
    let has_hook = object.mask.is_some();
    let absences = object.fields.iter().filter_map(|field| may_be_absent(object, field));
    Ok(quote! {
        #(#absences)*

        #[automatically_derived]
        impl #krate::FieldType for #ident {
            const KIND: #krate::FieldKind = #krate::FieldKind::object(<Self as #krate::VersionedObject>::INFO);
            const MASKS: bool = #has_hook #(|| <#types as #krate::FieldType>::MASKS)*;

            fn write<S: #krate::derived::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                #krate::derived::write_nested(self, serializer)
            }

            fn read(value: &#krate::Json) -> ::core::result::Result<Self, #krate::FieldError> {
                #krate::derived::read_nested(value)
            }

            fn has_changes(&self) -> bool {
                #krate::derived::has_changes(self)
            }

            fn mask_field(&mut self) {
                #krate::VersionedObject::mask(self);
            }

            fn hide_field(&mut self) {
                #(#krate::FieldType::hide_field(&mut self.#idents);)*
            }
        }

        #[automatically_derived]
        impl #krate::VersionedObject for #ident {
            const INFO: &'static #krate::ObjectInfo = &#info;

            fn write_data<M: #krate::derived::SerializeMap>(
                &self,
                map: &mut M,
            ) -> ::core::result::Result<(), M::Error> {
                #(
                    if #krate::FieldType::is_set(&self.#idents) {
                        #krate::derived::SerializeMap::serialize_entry(map, #names, &#krate::Wire(&self.#idents))?;
                    }
                )*
                ::core::result::Result::Ok(())
            }

            fn visit_fields(&self, visit: &mut dyn FnMut(&'static str, bool, bool)) {
                #(
                    visit(
                        #names,
                        #krate::FieldType::is_set(&self.#idents),
                        #krate::FieldType::has_changes(&self.#idents),
                    );
                )*
            }

            fn read_data(data: &#krate::JsonObject) -> ::core::result::Result<Self, #krate::FieldError> {
                ::core::result::Result::Ok(Self {
                    #(#idents: #krate::derived::read_field::<#types>(data, #names, #defaults)?,)*
                })
            }

            fn mask(&mut self) {
                #(#krate::FieldType::mask_field(&mut self.#idents);)*
                #hook
            }
        }

        #[automatically_derived]
        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                #krate::derived::debug(self, f)
            }
        }
    })
}

/// A field with `since` is absent in messages of older programs. The compiler checks that the field's type
/// allows absence once that type is known.
fn may_be_absent(object: &AnnotatedStruct<'_>, field: &ObjectField<'_>) -> Option<TokenStream> {
    let (major, minor) = field.since.filter(|(_, minor)| *minor > 0)?;
    if field.default.is_some() {
        return None;
    }
    let (krate, ty, ident) = (&object.krate, &field.field.ty, field.ident);
    let advice = format!(
        "`{ident}` came with {major}.{minor}, and messages of older versions are without it: make it an Option or a \
         MaybeSet, or give it a default"
    );
    Some(quote_spanned! { ty.span()=>
        const _: () = ::core::assert!(<#ty as #krate::FieldType>::MAY_BE_ABSENT, #advice);
    })
}

fn info(object: &AnnotatedStruct<'_>, filled: &[Option<FieldSource<'_>>]) -> Result<TokenStream> {
    let AnnotatedStruct {
        namespace,
        serial_namespace,
        name,
        timestamps,
        changes,
        schema_in_fingerprint,
        krate,
        ..
    } = object;
    let (major, minor) = object.version;
    let version_text = format!("{major}.{minor}");
    let keys =
        ["name", "namespace", "version", "data", "changes"].map(|key| format!("{serial_namespace}.{key}"));
    let fields: Vec<TokenStream> = object
        .fields
        .iter()
        .zip(filled)
        .map(|(field, by)| field_info(object, field, by.as_ref()))
        .collect::<Result<_>>()?;
    let inherited = ["created_at", "updated_at"]
        .into_iter()
        .filter(|inherited| *timestamps && object.fields.iter().all(|field| field.name != *inherited))
        .map(|inherited| {
            quote! {
                #krate::ClassField {
                    name: #inherited,
                    kind: <#krate::DateTime as #krate::FieldType>::KIND,
                    nullable: true,
                    default: ::core::option::Option::None,
                    since: ::core::option::Option::None,
                    source: ::core::option::Option::None,
                }
            }
        });
    Ok(quote! {
        #krate::ObjectInfo {
            namespace: #namespace,
            serial_namespace: #serial_namespace,
            keys: [#(#keys),*],
            name: #name,
            version: #krate::ObjectVersion::new(#major, #minor),
            version_text: #version_text,
            fields: &[#(#fields,)* #(#inherited,)*],
            schema_in_fingerprint: #schema_in_fingerprint,
            changes: #changes,
        }
    })
}

fn field_info(
    object: &AnnotatedStruct<'_>,
    field: &ObjectField<'_>,
    by: Option<&FieldSource<'_>>,
) -> Result<TokenStream> {
    let (krate, name, ty) = (&object.krate, &field.name, &field.field.ty);
    let own_kind = quote! { <#ty as #krate::FieldType>::KIND };
    let kind = match (&field.kind, &field.values) {
        (Some(kind), Some(values)) => {
            quote! { #krate::FieldKind::enumeration(#kind, #krate::EnumValues::Tuple(&[#(#values),*])) }
        }
        (Some(kind), None) => quote! { #krate::FieldKind { name: #kind, ..#own_kind } },
        (None, _) => own_kind,
    };
    let default = option(match &field.default {
        Some(default) => {
            let text = default_text(default)?;
            Some(quote! { #text })
        }
        None => None,
    });
    let since =
        option(field.since.map(|(major, minor)| quote! { #krate::ObjectVersion::new(#major, #minor) }));
    let source = option(by.map(|filled| {
        let (object, field) = (unraw(&filled.object.to_string()), unraw(&filled.field.to_string()));
        quote! { #krate::SourceField { object: #object, field: #field } }
    }));
    Ok(quote! {
        #krate::ClassField {
            name: #name,
            kind: #kind,
            nullable: <#ty as #krate::FieldType>::NULLABLE,
            default: #default,
            since: #since,
            source: #source,
        }
    })
}

fn option(tokens: Option<TokenStream>) -> TokenStream {
    match tokens {
        Some(tokens) => quote! { ::core::option::Option::Some(#tokens) },
        None => quote! { ::core::option::Option::None },
    }
}

fn unraw(ident: &str) -> String {
    ident.strip_prefix("r#").unwrap_or(ident).to_owned()
}
