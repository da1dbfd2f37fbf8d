use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result};

use crate::attributes::{AnnotatedStruct, ObjectField};
use crate::{generate, schema};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let object = AnnotatedStruct::parse(input, "a notification")?;
    if !object.sources.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "a schema belongs to the payload: move schema(…) to the payload's struct",
        ));
    }
    let payload = &role(&object, &["payload"])?.field.ty;
    let level_field = role(&object, &["level", "priority"])?;
    let (level_ident, level) = (level_field.ident, &level_field.field.ty);
    let event_type = &role(&object, &["event_type"])?.field.ty;
    let publisher = &role(&object, &["publisher"])?.field.ty;
    if let Some(other) = object.fields.iter().find(|field| !ROLES.contains(&field.ident.to_string().as_str()))
    {
        return Err(Error::new(
            other.ident.span(),
            format!(
                "`{}` is not part of a notification: put the reported value into the payload; a notification has \
                 payload, level (or priority), event_type and publisher",
                other.ident
            ),
        ));
    }
    let implementations = generate::implementations(&object, &schema::resolve(&object)?)?;
    let (ident, vis, krate) = (&input.ident, &input.vis, &object.krate);
    Ok(quote! {
        #implementations

        impl #ident {
            /// Makes the notification of a populated payload.
            #vis fn new(
                payload: impl #krate::IntoPayload<#payload>,
                event_type: #event_type,
                publisher: #publisher,
                #level_ident: #level,
            ) -> Self {
                Self { payload: #krate::IntoPayload::into_payload(payload), event_type, publisher, #level_ident }
            }
        }

        #[automatically_derived]
        impl #krate::VersionedNotification for #ident {
            type Payload = #payload;
            type Level = #level;

            fn payload(&self) -> &#payload {
                &self.payload
            }

            fn level(&self) -> #level {
                self.#level_ident
            }

            fn event_type(&self) -> ::std::string::String {
                #krate::EventTypeText::event_type(&self.event_type)
            }

            fn publisher_id(&self) -> ::std::string::String {
                #krate::PublisherText::publisher_id(&self.publisher)
            }
        }
    })
}

const ROLES: [&str; 5] = ["payload", "level", "priority", "event_type", "publisher"];

fn role<'a, 'b>(object: &'a AnnotatedStruct<'b>, names: &[&str]) -> Result<&'a ObjectField<'b>> {
    let found = object.fields.iter().find(|field| names.iter().any(|name| field.ident == name));
    found.ok_or_else(|| {
        Error::new(
            object.input.ident.span(),
            format!(
                "a notification has the fields payload, level (nova calls it priority), event_type and publisher: \
                 `{}` is missing",
                names[0]
            ),
        )
    })
}
