//! The words of the room: instants, values, keys.

/// A point on the time axis: microseconds since 1970-01-01T00:00:00Z.
pub type Instant = i64;

/// One value as canonical text; `None` is NULL.
pub type Value = Option<Box<str>>;

/// The values of one key over the dimension's declared columns, in their order.
pub type Values = Box<[Value]>;

/// Whether `at` lies before the end of an interval; an open one has no end.
pub(super) fn is_before(at: Instant, end: Option<Instant>) -> bool {
    end.is_none_or(|end| at < end)
}

/// One text for a key of several parts: different parts always give different texts, and NULL differs from every text.
///
/// Parts are joined by `|`; a backslash or `|` inside a part is escaped by a backslash, NULL is `\N`. A key of one plain
/// part is therefore that part.
///
/// ```
/// use metropulse::history::composite_key;
/// assert_eq!(composite_key(&[Some("north"), None, Some("7")]), r"north|\N|7");
/// ```
pub fn composite_key(parts: &[Option<&str>]) -> String {
    if parts.is_empty() {
        // Not the text of any part, so that no part and one empty part differ.
        return r"\E".to_owned();
    }
    let mut key = String::with_capacity(parts.iter().map(|part| part.map_or(2, str::len) + 1).sum());
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            key.push('|');
        }
        let Some(text) = part else {
            key.push_str(r"\N");
            continue;
        };
        for letter in text.chars() {
            if matches!(letter, '|' | '\\') {
                key.push('\\');
            }
            key.push(letter);
        }
    }
    key
}
