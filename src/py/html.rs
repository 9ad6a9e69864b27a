//! An Arrow table for a notebook.

use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Rows shown; the rest is counted.
const ROWS: usize = 20;
/// Characters of a value shown.
const WIDTH: usize = 80;

/// The first rows as an HTML table. Data is never markup.
pub(super) fn html(schema: &Schema, batches: &[RecordBatch]) -> String {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut page = String::from("<table><thead><tr>");
    for field in schema.fields() {
        let kind = field.data_type();
        tag(&mut page, "th", kind, &format!("{}\n{kind}", field.name()));
    }
    page.push_str("</tr></thead><tbody>");
    let mut left = ROWS;
    for batch in batches {
        let options = FormatOptions::default().with_null("NULL");
        let formatters: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).ok()).collect();
        for row in 0..batch.num_rows().min(left) {
            page.push_str("<tr>");
            for (field, formatter) in schema.fields().iter().zip(&formatters) {
                let value = formatter.as_ref().map_or_else(String::new, |f| f.value(row).to_string());
                tag(&mut page, "td", field.data_type(), &value);
            }
            page.push_str("</tr>");
        }
        left -= batch.num_rows().min(left);
    }
    let shown = if rows > ROWS { format!(", the first {ROWS} shown") } else { String::new() };
    // Writing to a string cannot fail.
    let _ = write!(page, "</tbody></table><p>{} rows, {} columns{shown}</p>", thousands(rows), schema.fields().len());
    page
}

fn tag(page: &mut String, name: &str, kind: &DataType, text: &str) {
    let side = if kind.is_numeric() { "right" } else { "left" };
    let _ = write!(page, "<{name} style=\"text-align: {side}\">");
    let mut letters = text.chars();
    for letter in letters.by_ref().take(WIDTH) {
        match letter {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\n' => page.push_str("<br>"),
            letter => page.push(letter),
        }
    }
    if letters.next().is_some() {
        page.push('…');
    }
    let _ = write!(page, "</{name}>");
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
