// What people choose once and want to find again: kept in this browser, and nowhere else.

const KEY = "parley.options";

/** Fill the fields of a form that are called like this with what was chosen last, and keep up. */
export function remembered(form, names) {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {} // no storage, or something else in it
  for (const name of names) {
    const field = form.elements[name];
    const value = kept[name];
    if (field.type === "checkbox") field.checked = value ?? field.checked;
    else if ([...field.options].some((option) => option.value === value)) field.value = value;
  }
  form.addEventListener("change", () => {
    const chosen = names.map((name) => {
      const field = form.elements[name];
      return [name, field.type === "checkbox" ? field.checked : field.value];
    });
    try {
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(chosen)));
    } catch {}
  });
}
