//! The edge to `src/chat.cpp`: handles that free what is behind them, and texts that are copied at once.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{self, NonNull};

#[repr(C)]
struct RawTemplates {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawParser {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn worker_chat_open(
        source: *const c_char,
        bos: *const c_char,
        eos: *const c_char,
        error: *mut *mut c_char,
    ) -> *mut RawTemplates;
    fn worker_chat_close(templates: *mut RawTemplates);
    fn worker_chat_abilities(templates: *const RawTemplates, error: *mut *mut c_char) -> *mut c_char;
    fn worker_chat_render(
        templates: *const RawTemplates,
        request: *const c_char,
        error: *mut *mut c_char,
    ) -> *mut c_char;
    fn worker_chat_parser_open(
        format: c_int,
        generation_prompt: *const c_char,
        parser: *const c_char,
        error: *mut *mut c_char,
    ) -> *mut RawParser;
    fn worker_chat_parser_close(parser: *mut RawParser);
    fn worker_chat_parser_read(
        parser: *mut RawParser,
        text: *const c_char,
        bytes: usize,
        is_partial: bool,
        error: *mut *mut c_char,
    ) -> *mut c_char;
    fn worker_chat_free(text: *mut c_char);
}

/// A model's chat templates, parsed.
#[derive(Debug)]
pub struct Templates(NonNull<RawTemplates>);

// SAFETY: what is behind the handle is only read once it is made; every rendering has a state of its own.
unsafe impl Send for Templates {}
// SAFETY: as above.
unsafe impl Sync for Templates {}

impl Templates {
    /// Parses a template.
    ///
    /// # Errors
    /// What llama.cpp says is wrong with it.
    pub fn open(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let [source, bos, eos] = [source, bos, eos].map(c_text);
        let (source, bos, eos) = (source?, bos?, eos?);
        let mut error = ptr::null_mut();
        // SAFETY: the texts end in a zero and outlive the call, which copies what it keeps.
        let raw = unsafe { worker_chat_open(source.as_ptr(), bos.as_ptr(), eos.as_ptr(), &raw mut error) };
        NonNull::new(raw).map(Self).ok_or_else(|| taken(error).unwrap_or_else(no_memory))
    }

    /// What they can do, as JSON.
    ///
    /// # Errors
    /// What llama.cpp says.
    pub fn abilities(&self) -> Result<String, String> {
        let mut error = ptr::null_mut();
        // SAFETY: the handle is live.
        let text = unsafe { worker_chat_abilities(self.0.as_ptr(), &raw mut error) };
        result(text, error)
    }

    /// Renders a request, both as JSON.
    ///
    /// # Errors
    /// What the template or llama.cpp says.
    pub fn render(&self, request: &str) -> Result<String, String> {
        let request = c_text(request)?;
        let mut error = ptr::null_mut();
        // SAFETY: the handle is live; the text ends in a zero and outlives the call.
        let text = unsafe { worker_chat_render(self.0.as_ptr(), request.as_ptr(), &raw mut error) };
        result(text, error)
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        // SAFETY: made by `worker_chat_open`, closed once, and not used afterwards.
        unsafe { worker_chat_close(self.0.as_ptr()) }
    }
}

/// A reader of one answer.
#[derive(Debug)]
pub struct Parser(NonNull<RawParser>);

// SAFETY: what is behind the handle belongs to it alone and to no thread.
unsafe impl Send for Parser {}

impl Parser {
    /// For an answer to what was rendered with this `format`, `generation_prompt` and `parser`.
    ///
    /// # Errors
    /// What llama.cpp says.
    pub fn open(format: i32, generation_prompt: &str, parser: &str) -> Result<Self, String> {
        let (generation_prompt, parser) = (c_text(generation_prompt)?, c_text(parser)?);
        let mut error = ptr::null_mut();
        // SAFETY: the texts end in a zero and outlive the call, which copies what it keeps.
        let raw = unsafe {
            worker_chat_parser_open(format, generation_prompt.as_ptr(), parser.as_ptr(), &raw mut error)
        };
        NonNull::new(raw).map(Self).ok_or_else(|| taken(error).unwrap_or_else(no_memory))
    }

    /// Reads the answer so far from its start; what is new in it, as JSON.
    ///
    /// # Errors
    /// The text does not have the form it should have.
    pub fn read(&mut self, text: &str, is_partial: bool) -> Result<String, String> {
        let mut error = ptr::null_mut();
        // SAFETY: the handle is live and ours alone; the text is as long as is said and outlives the call.
        let news = unsafe {
            worker_chat_parser_read(
                self.0.as_ptr(),
                text.as_ptr().cast(),
                text.len(),
                is_partial,
                &raw mut error,
            )
        };
        result(news, error)
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        // SAFETY: made by `worker_chat_parser_open`, closed once, and not used afterwards.
        unsafe { worker_chat_parser_close(self.0.as_ptr()) }
    }
}

fn c_text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "it holds a zero byte".to_owned())
}

fn result(text: *mut c_char, error: *mut c_char) -> Result<String, String> {
    let (text, error) = (taken(text), taken(error));
    text.ok_or_else(|| error.unwrap_or_else(no_memory))
}

/// The text behind a pointer that `src/chat.cpp` returned, which is freed.
fn taken(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: made by `copy_of`: it ends in a zero, belongs to us, and is freed once, after it was copied.
    unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        worker_chat_free(text);
        Some(copy)
    }
}

fn no_memory() -> String {
    "there is no memory for it".to_owned()
}
