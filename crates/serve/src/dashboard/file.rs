//! The taste map as one file: the page's own modules and style, and the data, in a page that asks nobody.

use serde_json::Value;

use super::FILES;

/// The modules of the file, each after those it imports.
const MODULES: [&str; 7] =
    ["/dom.js", "/cover.js", "/events.js", "/cloud.js", "/map.js", "/journey.js", "/map_file.js"];
/// The module that starts the file; a server does not need it.
const START: &str = include_str!("map_file.js");
const PAGE: &str = include_str!("map_file.html");

/// One page with the map, every title with its neighbours, and perhaps a viewer's path and journey. Data cannot end
/// the element that holds it: every `<` in it is written `\u003c`, which JSON reads as the same letter.
pub fn map_file(data: &Value) -> String {
    let data = data.to_string().replace('<', "\\u003c");
    // The data last: it is text of others, in which nothing is replaced any more.
    let page = PAGE.replace("/* style */", content("/app.css")).replace("/* script */", &bundle());
    page.replace("{data}", &data)
}

fn content(path: &str) -> &'static str {
    let file = FILES.iter().find(|file| file.path == path);
    file.map_or(START, |file| file.content)
}

/// The modules as one script. Each becomes a function that is called at once, so that no two share a name that they
/// do not export: `import { a } from "./x.js"` becomes `const { a } = x_js`, and what is exported is returned.
fn bundle() -> String {
    let mut script = String::new();
    for path in MODULES {
        let name = path.trim_start_matches('/').replace('.', "_");
        let (mut body, mut exported) = (String::new(), Vec::new());
        for line in content(path).lines() {
            if let Some((names, from)) = import(line) {
                body += &format!("const {names} = {};\n", from.replace('.', "_"));
                continue;
            }
            let plain = line.strip_prefix("export ").unwrap_or(line);
            if plain.len() < line.len() {
                exported.extend(declared(plain));
            }
            body += plain;
            body.push('\n');
        }
        script += &format!("const {name} = (() => {{\n{body}return {{ {} }};\n}})();\n", exported.join(", "));
    }
    script
}

/// The names in braces and the file of a line that imports.
fn import(line: &str) -> Option<(&str, &str)> {
    let (names, from) = line.strip_prefix("import ")?.split_once(" from \"./")?;
    Some((names, from.strip_suffix("\";")?))
}

/// What a declaration declares.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = ["const ", "function ", "class "].iter().find_map(|kind| line.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::super::SCRIPT;
    use super::*;

    #[test]
    fn every_module_of_the_file_is_bundled_and_none_imports_any_more() {
        let script = bundle();
        assert!(!script.contains("import ") || !script.lines().any(|line| line.starts_with("import ")));
        assert!(!script.lines().any(|line| line.starts_with("export ")));
        for path in MODULES {
            assert!(
                path == "/map_file.js"
                    || FILES.iter().any(|file| file.path == path && file.content_type == SCRIPT)
            );
            // An import that spans lines would be missed.
            for line in content(path).lines().filter(|line| line.starts_with("import")) {
                let (_, from) = import(line).unwrap_or_else(|| panic!("{path}: {line}"));
                let (own, of) = (place(path), place(&format!("/{from}")));
                assert!(of < own, "{path} imports {from}, which stands after it");
            }
            for line in content(path).lines().filter(|line| line.starts_with("export ")) {
                assert!(declared(&line[7..]).is_some(), "{path}: {line}");
            }
        }
    }

    fn place(path: &str) -> usize {
        MODULES.iter().position(|module| *module == path).unwrap_or_else(|| panic!("{path} is not bundled"))
    }

    #[test]
    fn a_title_cannot_leave_the_data() {
        let title = "</script><script>alert(1)</script><!-- /* script */";
        let page = map_file(&serde_json::json!({ "videos": [title] }));
        assert!(!page.contains("alert(1)</script>") && page.contains("\\u003c/script>"));
        assert_eq!(page.matches("<script").count(), 2, "the data and the script");
        let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
        let data = &page[start..start + page[start..].find("</script>").unwrap()];
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["videos"][0], title);
    }

    #[test]
    fn the_file_names_no_host() {
        let page = map_file(&Value::Null).replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("fetch("));
        assert!(page.contains("default-src 'none'"));
    }
}
