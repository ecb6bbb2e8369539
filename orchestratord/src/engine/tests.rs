use config_schema::{LoadRequest, load};

use super::*;

/// ORCH-ENG-30, ORCH-ENG-33
#[test]
fn an_adapter_gets_the_certificates_of_its_server_and_the_arguments_of_its_template() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("llama-orch.yaml");
    let yaml = "pools: [{model: m, template_kwargs: {mood: calm}, server: {url: 'https://box', tls: {ca_file: ca.pem}}}]";
    std::fs::write(&file, yaml).expect("a file");
    let request = LoadRequest { explicit: Some(file), ..LoadRequest::default() };
    let pool = load(&request).expect("a configuration").config.pools.remove(0);
    let server = pool.server.clone().expect("a server");
    let attach = attaches(&server).expect("a URL").remove(0);
    let config = http_config(&pool, &server, attach, &pool.model).expect("a configuration");
    assert_eq!(config.ca_file, Some(folder.path().join("ca.pem")));
    assert_eq!(config.template_kwargs.as_deref(), Some(r#"{"mood":"calm"}"#));
}
