use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Ident, Result, Variant};

use crate::attributes::{default_crate, each, path_value, text, word};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "values are the variants of an enum: this is none"));
    };
    let mut name = input.ident.to_string();
    let mut krate = default_crate();
    let mut list = false;
    each(&input.attrs, |meta| {
        match word(meta).as_str() {
            "name" => name = text(meta)?,
            "crate" => krate = path_value(meta)?,
            "list" => list = true,
            _ => return Err(meta.error("unknown attribute; an enum takes name, list and crate")),
        }
        Ok(())
    })?;
    let mut listed: Vec<(&Ident, String)> = Vec::new();
    let mut other: Option<&Ident> = None;
    for variant in &data.variants {
        match value(variant)? {
            Some(value) if listed.iter().any(|(_, known)| *known == value) => {
                return Err(Error::new(variant.ident.span(), format!("{value:?} is a value already")));
            }
            Some(value) => listed.push((&variant.ident, value)),
            None if other.is_some() => {
                return Err(Error::new(variant.ident.span(), "one variant takes all other texts"));
            }
            None => other = Some(&variant.ident),
        }
    }
    let ident = &input.ident;
    let variants: Vec<_> = listed.iter().map(|(variant, _)| variant).collect();
    let values: Vec<_> = listed.iter().map(|(_, value)| value).collect();
    let container = if list {
        quote! { List }
    } else {
        quote! { Tuple }
    };
    let other_text = other.map(|other| quote! { Self::#other(text) => text, });
    let unlisted = match other {
        Some(other) => quote! { ::core::result::Result::Ok(Self::#other(::std::string::String::from(text))) },
        None => quote! { ::core::result::Result::Err(#krate::UnlistedValue::for_enum::<Self>(text)) },
    };
    Ok(quote! {
        #[automatically_derived]
        impl #krate::VersionedEnum for #ident {
            const NAME: &'static str = #name;
            const VALUES: #krate::EnumValues = #krate::EnumValues::#container(&[#(#values),*]);

            fn as_str(&self) -> &str {
                match self {
                    #(Self::#variants => #values,)*
                    #other_text
                }
            }

            fn parse(text: &str) -> ::core::result::Result<Self, #krate::UnlistedValue> {
                match text {
                    #(#values => ::core::result::Result::Ok(Self::#variants),)*
                    _ => #unlisted,
                }
            }
        }

        #[automatically_derived]
        impl #krate::FieldType for #ident {
            const KIND: #krate::FieldKind = #krate::FieldKind::enumeration(
                <Self as #krate::VersionedEnum>::NAME,
                <Self as #krate::VersionedEnum>::VALUES,
            );

            fn write<S: #krate::derived::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                #krate::derived::write_enum(self, serializer)
            }

            fn read(value: &#krate::Json) -> ::core::result::Result<Self, #krate::FieldError> {
                #krate::derived::read_enum(value)
            }
        }
    })
}

/// The text of a variant; `None` for the variant that accepts any other text.
fn value(variant: &Variant) -> Result<Option<String>> {
    let mut value = snake_case(&variant.ident.to_string());
    let mut other = false;
    each(&variant.attrs, |meta| {
        match word(meta).as_str() {
            "value" => value = text(meta)?,
            "other" => other = true,
            _ => return Err(meta.error("unknown attribute; a variant takes value and other")),
        }
        Ok(())
    })?;
    let holds_one = matches!(&variant.fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1);
    match (&variant.fields, other) {
        (Fields::Unit, false) => Ok(Some(value)),
        (_, true) if holds_one => Ok(None),
        (_, true) => Err(Error::new(variant.ident.span(), "what takes other texts holds one: Other(String)")),
        (_, false) => Err(Error::new(
            variant.ident.span(),
            "a value is a variant without fields; one that takes texts that are not listed says #[versioned(other)]",
        )),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
