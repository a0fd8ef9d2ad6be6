//! Tables in a Markdown file that a command rewrites, and what has to stand beside a measurement: the date and the machine.
//!
//! What is rewritten stands between two comments, each on a line of its own: one that begins with `<!-- NAME: begin`, and
//! `<!-- NAME: end -->`. The comments stay.

use std::time::{SystemTime, UNIX_EPOCH};

/// `page` with `content` in place of what stands between the comments of `name`; `None` where one of them is missing.
pub fn replace(page: &str, name: &str, content: &str) -> Option<String> {
    let begin = page.find(&format!("<!-- {name}: begin"))?;
    let first = begin + page[begin..].find('\n')? + 1;
    let end = first + page[first..].find(&format!("<!-- {name}: end -->"))?;
    Some(format!("{}\n{}\n\n{}", &page[..first], content.trim(), &page[end..]))
}

/// Today's date in UTC, as `2026-01-31`.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    date(seconds / 86_400)
}

/// The date so many days after 1970-01-01 in the Gregorian calendar.
fn date(days: u64) -> String {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut rest) = (1970, days);
    while rest >= 365 + u64::from(is_leap(year)) {
        rest -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while rest >= lengths[month] {
        rest -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, rest + 1)
}

/// The processor of this machine in words, where the system tells, and how many cores of it this process may use.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    format!("{cores} cores of {}", model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_is_replaced() {
        let page = "a\n<!-- boards: begin (command) -->\nold\n<!-- boards: end -->\nb\n";
        let expected = "a\n<!-- boards: begin (command) -->\n\nnew\n\n<!-- boards: end -->\nb\n";
        assert_eq!(replace(page, "boards", "new\n").as_deref(), Some(expected));
        assert_eq!(replace(expected, "boards", "new").as_deref(), Some(expected));
        assert_eq!(replace(page, "others", "new"), None);
        assert_eq!(replace("<!-- boards: begin -->\nold\n", "boards", "new"), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d @SECONDS +%F`.
        let expected = [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_089, "2025-01-01"), (20_786, "2026-11-29")];
        for (days, date) in expected {
            assert_eq!(super::date(days), date);
        }
    }
}
