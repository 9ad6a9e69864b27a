//! Which version of a feed it is, the dates that it claims, and which of two versions holds.

use std::cmp::Ordering;

use chrono::NaiveDate;

/// What a version of a feed says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// `feed_version` of `feed_info.txt`.
    pub version: Option<String>,
    /// The first date for which it holds: by `feed_info.txt`, else the first that a calendar names.
    pub from: Option<NaiveDate>,
    /// The last date for which it holds, likewise.
    pub to: Option<NaiveDate>,
}

impl Validity {
    /// Whether the version claims a date.
    pub fn claims(&self, date: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }

    /// Orders versions that claim one date: the one that holds is the greatest. It begins latest, then has the higher version.
    pub fn rank(&self, other: &Self) -> Ordering {
        let [version, rival] = [self, other].map(|validity| validity.version.as_deref().unwrap_or_default());
        self.from.cmp(&other.from).then_with(|| compare_versions(version, rival))
    }
}

/// Orders versions as people number them: runs of digits by their number, all else by its letters.
fn compare_versions(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        match (one.chars().next(), other.chars().next()) {
            (None, None) => return Ordering::Equal,
            (Some(a), Some(b)) if !(is_number(one) && is_number(other)) => {
                if a != b {
                    return a.cmp(&b);
                }
                (one, other) = (&one[a.len_utf8()..], &other[b.len_utf8()..]);
            }
            (Some(_), Some(_)) => {
                let (a, rest) = digits(one);
                let (b, other_rest) = digits(other);
                match a.len().cmp(&b.len()).then_with(|| a.cmp(b)) {
                    Ordering::Equal => (one, other) = (rest, other_rest),
                    unequal @ (Ordering::Less | Ordering::Greater) => return unequal,
                }
            }
            (a, b) => return a.cmp(&b),
        }
    }
}

/// The digits at the start, without leading zeros, and what follows.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_people_number_them() {
        let rising = ["", "2023-9", "2023-10", "2023-10b", "67", "100", "1000", "v1.9", "v1.10"];
        let mut sorted = rising;
        sorted.reverse();
        sorted.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(sorted, ["", "67", "100", "1000", "2023-9", "2023-10", "2023-10b", "v1.9", "v1.10"]);
        assert_eq!(compare_versions("007", "7"), Ordering::Equal);
    }

    #[test]
    fn the_later_beginning_holds_then_the_higher_version() {
        let validity = |version: &str, from: &str| Validity {
            version: Some(version.to_owned()),
            from: from.parse().ok(),
            to: None,
        };
        assert_eq!(validity("9", "2024-01-01").rank(&validity("1", "2024-05-06")), Ordering::Less);
        assert_eq!(validity("10", "2024-05-06").rank(&validity("9", "2024-05-06")), Ordering::Greater);
        assert_eq!(validity("9", "2024-05-06").rank(&validity("9", "2024-05-06")), Ordering::Equal);
    }
}
