//! Comments of an IDL as lines of Rust documentation. Owns the escaping for rustdoc; does not depend on items.

/// Returns the lines of a comment, without its marks.
///
/// Indentation goes too, because rustdoc takes four spaces for code and would compile it as a test; so does
/// the language of a fence.
pub(crate) fn lines(comment: &str) -> Vec<String> {
    let mut fenced = false;
    let lines = comment.lines().map(|line| fence(unmarked(line), &mut fenced));
    let mut lines: Vec<String> = lines.skip_while(String::is_empty).collect();
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    lines
}

/// Lines of documentation as attributes.
pub(crate) fn attributes(lines: &[String]) -> String {
    lines.iter().map(|line| format!("#[doc = {:?}]\n", format!(" {line}"))).collect()
}

fn unmarked(line: &str) -> &str {
    let line = line.trim().trim_end_matches("*/").trim_end();
    match line.strip_prefix("/*") {
        Some(rest) => rest.trim_start_matches(['*', '!']),
        None if line.starts_with('#') => line.trim_start_matches('#'),
        None if line.starts_with("//") => line.trim_start_matches('/').trim_start_matches('!'),
        None => line.strip_prefix('*').unwrap_or(line),
    }
    .trim()
}

fn fence(line: &str, fenced: &mut bool) -> String {
    if !line.starts_with("```") {
        return if *fenced { line.to_owned() } else { escaped(line) };
    }
    *fenced = !*fenced;
    if *fenced { "```text".to_owned() } else { "```".to_owned() }
}

/// Brackets and tags of an IDL's comment are neither links nor HTML.
fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    let mut is_code = false;
    for c in line.chars() {
        is_code ^= c == '`';
        if !is_code && matches!(c, '[' | '<') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Returns lines of documentation as Rust text, `fallback` if there are none.
pub(crate) fn of(lines: &[String], fallback: &str) -> String {
    let fallback = [fallback.to_owned()];
    attributes(if lines.is_empty() { &fallback } else { lines })
}

#[cfg(test)]
mod tests {
    use super::lines;

    fn check(comment: &str, expected: &[&str]) {
        assert_eq!(lines(comment), expected, "{comment}");
    }

    #[test]
    fn docs_lose_markup_and_keep_text() {
        check("// one", &["one"]);
        check("/// one\n//! two", &["one", "two"]);
        check("# one", &["one"]);
        check("/* one */", &["one"]);
        check("/** one\n * two\n */", &["one", "two"]);
        check("/**\n * one\n *\n *\n * two\n */", &["one", "", "two"]);
        check("//", &[]);
    }

    #[test]
    fn docs_never_become_doctests_links_or_html() {
        check("//     let x = 1;", &["let x = 1;"]);
        check("// ```go\n// a[0] < b\n// ```", &["```text", "a[0] < b", "```"]);
        check("// a list<i64>, `list<i64>`, [no link]", &["a list\\<i64>, `list<i64>`, \\[no link]"]);
    }
}
