//! Each family's conversations come out in the format that its publisher documents.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;

use tea_core::errors::Error;
use tea_core::llm::backend::{Message, Role};
use tea_core::llm::chat_template::ChatTemplate;
use tea_core::value::{Map, Value};
use tea_core::yaml::compose;

fn moment() -> NaiveDateTime {
    "2024-02-09T15:04:05".parse().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn compiled(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, "<s>", "</s>", moment).unwrap()
}

fn map<'m>(map: &'m Map, key: &str) -> &'m Map {
    map[key].as_map().unwrap()
}

fn messages(turns: &Value) -> Vec<Message> {
    let turns = turns.as_list().unwrap().iter().map(|turn| {
        let text = |key: &str| turn.as_map().unwrap()[key].as_text().unwrap();
        Message::new(Role::from_word(text("role")).unwrap(), text("content"))
    });
    turns.collect()
}

fn user(text: &str) -> [Message; 1] {
    [Message::new(Role::User, text)]
}

#[test]
fn every_conversation_renders_as_its_family_documents() {
    let path = root().join("tests/tea/llm/chat_templates/conversations.yaml");
    let text = fs::read_to_string(path).unwrap();
    let data = compose::parse(&text, "conversations.yaml").unwrap().plain();
    let data = data.as_map().unwrap();
    let mut count = 0;
    for (family, facts) in map(data, "families") {
        let facts = facts.as_map().unwrap();
        let read =
            |folder: &str| fs::read_to_string(root().join(folder).join(format!("{family}.jinja")));
        let source = read("tests/tea/llm/chat_templates")
            .or_else(|_| read("tasks/catalog/data/chat_templates"));
        let (bos, eos) = (facts["bos"].as_text().unwrap(), facts["eos"].as_text().unwrap());
        let template = ChatTemplate::new(&source.unwrap(), bos, eos, moment).unwrap();
        let rendered = |name: &str| -> Result<String, Error> {
            template.render(&messages(&map(data, "conversations")[name]), &[], None)
        };
        for (name, text) in map(facts, "renders") {
            assert_eq!(rendered(name).unwrap(), text.as_text().unwrap(), "{family}: {name}");
            count += 1;
        }
        for (name, said) in map(facts, "errors") {
            let error = rendered(name).unwrap_err();
            let said = said.as_text().unwrap();
            assert!(error.message.contains(said) && !error.hint.is_empty(), "{family}: {error}");
            count += 1;
        }
    }
    assert!(count >= 40, "only {count} conversations");
}

#[test]
fn templates_have_the_extras_of_the_publishers_tools() {
    for (source, text) in [
        ("{{ strftime_now('%d %b %Y, %A %H:%M:%S %p %j') }} x", "09 Feb 2024, Friday 15:04:05 PM 040 x"),
        ("{{ {'b': 1, 'a': [true, none, 'é<']} | tojson }} x", r#"{"b": 1, "a": [true, null, "é<"]} x"#),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, indent=1) }} x", "{\n \"a\": 2,\n \"b\": 1\n} x"),
        ("{{ ['é'] | tojson(ensure_ascii=true, separators=(',', ':')) }} x", r#"["\u00e9"] x"#),
        ("{{ bos_token }}{{ messages[0].content.strip().split(' ')[0] }}{{ eos_token }} x", "<s>x</s> x"),
        ("{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}", "x"),
        ("a {%- generation -%} x {%- endgeneration %}", "ax"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{% endfor %}x", "x"),
        ("  {% if tools is none %}\nx\n  {% endif %}\n", "x\n"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = 4 %}{% endfor %}{{ ns.n }}x", "4x"),
        ("{% macro m(a, b='q') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}", "xq"),
    ] {
        assert_eq!(compiled(source).render(&user("x"), &[], None).as_deref(), Ok(text), "{source}");
    }
}

#[test]
fn a_refused_system_text_goes_to_the_first_user_turn() {
    let turns = [Message::new(Role::System, " Be brief. "), Message::new(Role::User, "Hi")];
    for source in [
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}\
         {% endif %}[{{ m.content }}]{% endfor %}",
        "{% for m in messages if m.role != 'system' %}[{{ m.content }}]{% endfor %}",
    ] {
        assert_eq!(compiled(source).render(&turns, &[], None).as_deref(), Ok("[Be brief.\n\nHi]"));
    }
}

#[test]
fn words_that_a_template_takes_out_on_purpose_are_not_missed() {
    let template = compiled(
        "{% set system = messages[0].content if messages[0].role == 'system' else '' %}\
         {% set text = system | replace('/no_think', '') | trim %}\
         {% if text %}[{{ text }}]{% endif %}\
         {% for m in messages if m.role != 'system' %}[{{ m.content }}]{% endfor %}\
         {% if '/no_think' in system %}<think></think>{% endif %}",
    );
    for (system, text) in [
        ("/no_think", "[Hi]<think></think>"),
        ("Be brief. /no_think", "[Be brief.][Hi]<think></think>"),
    ] {
        let turns = [Message::new(Role::System, system), Message::new(Role::User, "Hi")];
        assert_eq!(template.render(&turns, &[], None).as_deref(), Ok(text));
    }
}

#[test]
fn a_template_that_fails_or_loses_a_text_is_a_model_error() {
    for (source, said) in [
        ("{{ raise_exception('roles must take turns') }}", "refuses these messages: roles must"),
        ("nothing", "leaves out a user text"),
        ("{{ messages[0].content.nope() }}", "chat template failed"),
        ("{{ messages.x.y }}", "chat template failed"),
        ("{{ strftime_now('%Q') }}", "chat template failed"),
    ] {
        let error = compiled(source).render(&user("x"), &[], None).unwrap_err();
        assert!(error.message.contains(said), "{error}");
        assert_eq!(error.kind.word(), "ModelError");
    }
    let damaged = ChatTemplate::new("{% if %}", "", "", moment).err().unwrap();
    assert!(damaged.message.contains("damaged"), "{damaged}");
}

#[test]
fn thinking_is_switched_where_it_is_asked_for() {
    let source = "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}\
                  {{ messages[0].content }}";
    let shown = [None, Some(true), Some(false)]
        .map(|thinking| compiled(source).render(&user("x"), &[], thinking).unwrap().to_lowercase());
    assert_eq!(shown, ["x", "truex", "falsex"]);
}
