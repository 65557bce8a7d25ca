// The worker of the page Quick score: starts the engine, which does the rest. With `#processor` at the end of its
// address the graphics card is left alone.
import init, { start } from '{{engine_js}}';

init({ module_or_path: '{{engine_wasm}}' })
  .then(() => start('{{weights}}', location.hash === '#processor'))
  .catch((error) => {
    postMessage(JSON.stringify({ tell: 'broken', reason: `The engine could not start (${error}).` }));
  });
