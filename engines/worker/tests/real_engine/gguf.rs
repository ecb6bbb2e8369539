//! A small writer of GGUF files, for adapters that no one has to fetch.
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

const ALIGNMENT: usize = 32;
const TYPE_F32: u32 = 6;
const TYPE_TEXT: u32 = 8;
const TENSOR_F32: u32 = 0;

/// A matrix of 32-bit numbers.
pub struct Matrix {
    pub name: String,
    /// Columns, then rows.
    pub shape: [u64; 2],
    pub values: Vec<f32>,
}

/// A LoRA adapter of rank 1 for one matrix of a model: `a` times `b` is added to it.
pub struct Lora<'a> {
    pub architecture: &'a str,
    pub tensor: &'a str,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
}

impl Lora<'_> {
    pub fn file(self) -> Vec<u8> {
        let matrix =
            |end: &str, shape, values| Matrix { name: format!("{}.{end}", self.tensor), shape, values };
        let tensors = [
            matrix("lora_a", [self.a.len() as u64, 1], self.a.clone()),
            matrix("lora_b", [1, self.b.len() as u64], self.b.clone()),
        ];
        file(
            &[
                ("general.type", "adapter"),
                ("general.architecture", self.architecture),
                ("adapter.type", "lora"),
            ],
            &tensors,
        )
    }
}

/// A file with texts as metadata, and a scale of 1 for adapters.
fn file(texts: &[(&str, &str)], tensors: &[Matrix]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((texts.len() as u64 + 1).to_le_bytes());
    for (key, value) in texts {
        text(&mut bytes, key);
        bytes.extend(TYPE_TEXT.to_le_bytes());
        text(&mut bytes, value);
    }
    text(&mut bytes, "adapter.lora.alpha");
    bytes.extend(TYPE_F32.to_le_bytes());
    bytes.extend(1_f32.to_le_bytes());
    let mut offset = 0_u64;
    for tensor in tensors {
        text(&mut bytes, &tensor.name);
        bytes.extend(2_u32.to_le_bytes());
        tensor.shape.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        bytes.extend(TENSOR_F32.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset += (tensor.values.len() * 4).next_multiple_of(ALIGNMENT) as u64;
    }
    for tensor in tensors {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        tensor.values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}
