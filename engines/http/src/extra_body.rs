//! Fields of a request that only the engine knows: they go into the body beside what is asked there, and before
//! it where both have the same name.
//!
//! Rules: ORCH-OAI-15

use std::collections::BTreeMap;

use generation::ExtraBody;
use serde_json::value::RawValue;

use crate::fault::Fault;

/// `body`, the text of a JSON object, with the fields of `own` in it, as they came.
///
/// # Errors
/// [`Fault::Refused`] where one of the two is no JSON object.
pub fn with_extra_body(body: Vec<u8>, own: Option<&ExtraBody>) -> Result<Vec<u8>, Fault> {
    let Some(own) = own else { return Ok(body) };
    let wrong = |error: serde_json::Error| Fault::Refused(format!("the request is no JSON object: {error}"));
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(&body).map_err(wrong)?;
    fields.extend(serde_json::from_str::<BTreeMap<String, &RawValue>>(&own.fields).map_err(wrong)?);
    serde_json::to_vec(&fields).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OAI-15
    #[test]
    fn they_stand_beside_and_before_what_is_asked_and_nothing_else_changes() {
        let own =
            |fields: &str| ExtraBody { fields: fields.to_owned(), template: None, refusal: String::new() };
        let body = br#"{"model":"m","schema":{"z":1,"a":2},"cache_prompt":true}"#.to_vec();
        let own = own(r#"{"cache_prompt":false,"mirostat":2,"kwargs":{"b":1,"a":1.50}}"#);
        let all = with_extra_body(body.clone(), Some(&own)).expect("JSON");
        let expected = r#"{"cache_prompt":false,"kwargs":{"b":1,"a":1.50},"mirostat":2,"model":"m","schema":{"z":1,"a":2}}"#;
        assert_eq!(String::from_utf8(all).expect("UTF-8"), expected);
        assert_eq!(with_extra_body(body.clone(), None).expect("as it is"), body);
    }
}
