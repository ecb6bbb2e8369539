//! Images, which Ollama's clients send as base64 alone: the first bytes say what they are.

use crate::backpressure::Refusal;

/// How base64 of each kind of image begins.
const BEGINNINGS: [(&str, &str); 5] =
    [("iVBORw0KGgo", "png"), ("/9j/", "jpeg"), ("R0lGOD", "gif"), ("UklGR", "webp"), ("Qk", "bmp")];

/// The images of `field` as `data:` URLs.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field and what would be right.
pub(super) fn data_urls(field: &str, images: Vec<String>) -> Result<Vec<String>, Refusal> {
    let url = |(i, image): (usize, String)| {
        // Some clients send what others call it already.
        let base64 = match image.split_once(";base64,") {
            Some((head, base64)) if head.starts_with("data:image/") => base64,
            _ => image.as_str(),
        };
        let kind = BEGINNINGS.iter().find(|(beginning, _)| base64.starts_with(beginning));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        match kind {
            Some((_, kind)) if base64.bytes().all(fits) => Ok(format!("data:image/{kind};base64,{base64}")),
            _ => Err(Refusal::Invalid(format!(
                "`{field}[{i}]` is no image: send a PNG, JPEG, GIF, WebP or BMP file as base64"
            ))),
        }
    };
    images.into_iter().enumerate().map(url).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OLLAMA-5
    #[test]
    fn an_image_is_known_by_its_first_bytes() {
        let urls = |image: &str| data_urls("messages[0].images", vec![image.to_owned()]);
        assert_eq!(urls("/9j/4AAQ"), Ok(vec!["data:image/jpeg;base64,/9j/4AAQ".to_owned()]));
        assert_eq!(urls("data:image/png;base64,iVBORw0KGgoA"), urls("iVBORw0KGgoA"));
        for bad in ["", "https://example.org/a.png", "iVBORw0KGgo \n", "PHN2Zz4="] {
            let refused = urls(bad).expect_err("rejected").to_string();
            assert!(refused.starts_with("`messages[0].images[0]` is no image"), "{refused}");
        }
    }
}
