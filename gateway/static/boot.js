// The page's scripts are loaded after its first picture: before it they would only keep it waiting.
// A page that is not looked at is not painted, and does not wait for it.

const LONGEST_MS = 200;

const painted = new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  setTimeout(resolve, LONGEST_MS);
});

painted.then(() => document.head.append(document.querySelector("#scripts").content));
