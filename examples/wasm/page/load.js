"use strict";
// Loads the Go program and runs it. All the rest of the page is that program.
const go = new Go();
WebAssembly.instantiateStreaming(fetch("chat.wasm"), go.importObject)
  .then(({ instance }) => go.run(instance))
  .then(() => { throw new Error("the program has ended"); })
  .catch(e => {
    document.getElementById("state").dataset.kind = "bad";
    document.getElementById("state").textContent = String(e.message ?? e);
  });
