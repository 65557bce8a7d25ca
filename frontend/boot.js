// Starts the app. A file of its own because the content security policy allows no inline script.
import init from '{{js}}';

init({ module_or_path: '{{wasm}}' }).catch((error) => {
  const boot = document.getElementById('boot');
  if (boot) {
    boot.textContent = typeof WebAssembly === 'undefined'
      ? 'This browser cannot run WebAssembly, which Q-Ponder’s page is made of.'
      : `The page could not start (${error}). Loading it again may help.`;
  }
});
