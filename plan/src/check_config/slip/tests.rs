use super::*;

/// Refused at that place of the text, which is marked by `→`, with these words.
#[track_caller]
fn check(marked: &str, sentence: &str, fix: &str) {
    let text = marked.replacen('→', "", 1);
    let slip = scan(&text).expect_err("no slip was found");
    assert_eq!(Some(slip.offset), marked.find('→'), "{slip:?}");
    assert!(slip.sentence.contains(sentence), "{slip:?}");
    assert!(slip.fix.contains(fix), "{slip:?}");
}

// Proves: P-USE-2
#[test]
fn slips_that_people_make_are_told_where_they_are() {
    check("{\"a\": 1→,\n}", "trailing `,` before `}`", "remove");
    check("{\"a\": [1, 2→, ]}", "trailing `,` before `]`", "remove");
    check("{→'a': 1}", "single quotes", "double");
    check("{\"a\": →'x'}", "single quotes", "double");
    check("{→“a”: 1}", "typographic quote", "straight");
    check("{\"a\": \"x→”\n}", "typographic quote", "straight");
    check("{→a: 1}", "key `a` has no quotes", "`\"a\"`");
    check("{\"a\": →eth1}", "`eth1` has no quotes", "`\"eth1\"`");
    check("{\"a\": →True}", "`True` is not a JSON value", "`true`");
    check("{\"a\": →None}", "`None` is not a JSON value", "null");
    check("{\"a\": →10.0.0.0/24}", "has no quotes", "`\"10.0.0.0/24\"`");
    check("{\"a\": →007}", "begins with a zero", "`7`");
    check("{\"a\": →1.}", "not a JSON number", "digits");
    check("{\"a\": 1 →// x\n}", "comment", "remove");
    check("{→# x\n\"a\": 1}", "comment", "remove");
    check("{\"a\": 1→\n \"b\": 2}", "`,` is missing", "\"b\"");
    check("{\"a\": →\"x\n}", "no closing", "close it");
    check("{\"a\": \"→\tx\"}", "a tab", "\\t");
    check("{\"a\": \"→\\.x\"}", "not a JSON escape", "\\\\");
    check("{\"a\": →\"\\ud800\"}", "is not a character", "itself");
    check("{\"a\"→= 1}", "followed by `=`", "`\"a\": …`");
    check("{\"a\"→}", "has no value", "`\"a\": …`");
    check("{\"a\": →}", "a value is missing", "write one");
    check("→{\"a\": [1]", "`{` is never closed", "`}`");
    check("{\"a\": →[1", "`[` is never closed", "`]`");
    check("{\"a\": [1→}", "`}` does not close the `[` of line 1", "`]`");
    check("{}→}", "extra `}`", "remove");
    check("{}→, {}", "`,` follows the end", "remove");
    check("{} →{}", "second object", "plugins");
    check("→\u{feff}{}", "byte order mark", "UTF-8");
    check("→type: bridge\nname: x", "YAML", "JSON");
    check("→- type: bridge", "YAML", "JSON");
    check("→[{}]", "is a list", "plugins");
    check("→\"{}\"", "quoted string", "outer quotes");
    check("→{{ .Values.x }}", "template", "itself");
    check("{\"a\": →{{ .Values.x }}}", "template", "itself");
    check("{\"a\": →${X}}", "placeholder", "itself");
    check("{\"a\":→\u{a0}1}", "invisible character (U+00A0)", "space");
    check("{\"a\": 1,\n →\"a\": 2}", ", first used on line 1", "keep one");
    check("→", "empty", "write");
}

#[test]
fn what_is_json_has_no_slip() {
    for text in [
        "{}",
        " { \"a\" : [ ] , \"b\":[{},{}],\"c\":-1.5e+9, \"d\": null,\"e\":true,\"f\":false,\"g\":\"\\u00e4\\n\" } \n",
        "{\"big\":123456789012345678901234567890,\"huge\":1e999}",
    ] {
        assert!(scan(text).is_ok(), "{text}");
    }
}
