//! What tests ask of Chromium beyond WebDriver, through its DevTools: scripts that run before a page's own or
//! in spite of its content security policy, and a network that is gone.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Client;

impl Browser {
    /// Sends a command of the DevTools protocol to the tab in front; returns its result.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let driver = Client::new(&self.endpoint());
        let answer = driver.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
        assert_eq!(answer.status, 200, "{command}: {}", answer.json());
        answer.json()["value"].clone()
    }

    /// The value of an expression, or what its promise comes to. No policy of the page applies to it.
    #[must_use]
    pub fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let outcome = self.devtools("Runtime.evaluate", &parameters);
        assert!(outcome["exceptionDetails"].is_null(), "{}", outcome["exceptionDetails"]);
        outcome["result"]["value"].clone()
    }

    /// Runs a script before those of every page that is opened in this tab from now on.
    pub fn before_every_page(&self, script: &str) {
        let _ = self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// Lets pages run scripts that their content security policy forbids: what keeps them from running then
    /// is the page alone.
    pub fn bypass_policy(&self) {
        let _ = self.devtools("Page.setBypassCSP", &json!({ "enabled": true }));
    }

    /// Takes the tab's network away, or gives it back.
    pub fn set_offline(&self, is_offline: bool) {
        let _ = self.devtools("Network.enable", &json!({}));
        let conditions =
            json!({ "offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        let _ = self.devtools("Network.emulateNetworkConditions", &conditions);
    }

    /// Drops files or folders on the page.
    pub fn drop_paths(&self, paths: &[PathBuf]) {
        let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
        for step in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": step, "x": 300, "y": 300, "data": data });
            let _ = self.devtools("Input.dispatchDragEvent", &event);
        }
    }

    /// Types a text where the focus is, as pasting does: at once, and within the limits of the field.
    pub fn insert(&self, text: &str) {
        let _ = self.devtools("Input.insertText", &json!({ "text": text }));
    }
}
