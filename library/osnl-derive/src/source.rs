use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Result, Token, Type, braced};

/// The declaration of a source, such as `node: Node { uuid, name = display_name, .. }`.
pub(crate) struct SourceDeclaration {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) pairs: Vec<SourcePair>,
    pub(crate) rest: Option<Span>,
}

pub(crate) struct SourcePair {
    pub(crate) key: Ident,
    pub(crate) source: Ident,
}

impl Parse for SourceDeclaration {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let ty = input.parse()?;
        let content;
        braced!(content in input);
        let mut source = Self { name, ty, pairs: Vec::new(), rest: None };
        while !content.is_empty() {
            if content.peek(Token![..]) {
                source.rest = Some(content.parse::<Token![..]>()?.spans[0]);
            } else {
                let key: Ident = content.parse()?;
                let renamed = content.parse::<Option<Token![=]>>()?.is_some();
                let from = if renamed { content.parse()? } else { key.clone() };
                source.pairs.push(SourcePair { key, source: from });
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        Ok(source)
    }
}
