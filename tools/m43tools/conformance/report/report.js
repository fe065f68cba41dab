"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const rows = all(".matrix .case");
  const pages = all("article.page");
  const buttons = all(".filter");
  const text = one("#text");
  const tag = one("#tag");
  const theme = one("#theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let left = null;

  const link = (row) => one("a", row);
  const shown = () => rows.filter((row) => !row.hidden);
  const open = () => one("article.open");
  const words = (value) => value.split(" ").filter(Boolean);

  function filter() {
    const wanted = buttons.filter((button) => button.ariaPressed === "true").map((button) => button.dataset.verdict);
    const sought = words(text.value.toLowerCase());
    for (const row of rows) {
      const verdicts = words(row.dataset.verdicts);
      const kept = (!wanted.length || wanted.some((verdict) => verdicts.includes(verdict)))
        && (!tag.value || words(row.dataset.tags).includes(tag.value))
        && sought.every((word) => row.dataset.text.includes(word));
      row.hidden = !kept;
    }
    for (const body of all(".matrix tbody")) body.hidden = !all(".case", body).some((row) => !row.hidden);
    one("#shown").textContent = `${shown().length} of ${rows.length} cases`;
    one("#nothing").hidden = shown().length > 0;
  }

  function clear() {
    for (const button of buttons) button.ariaPressed = "false";
    text.value = "";
    tag.value = "";
    filter();
    text.focus();
  }

  function anchorsAround(page) {
    const listed = shown().map((row) => link(row).hash);
    const at = listed.indexOf(`#${page.id}`);
    return at < 0 ? [null, null] : [listed[at - 1] ?? null, listed[at + 1] ?? null];
  }

  function setBeside(element, anchor) {
    if (anchor) element.setAttribute("href", anchor);
    else element.removeAttribute("href");
    element.ariaDisabled = anchor ? null : "true";
  }

  function route() {
    const page = pages.find((candidate) => `#${candidate.id}` === decodeURIComponent(location.hash));
    for (const other of pages) other.classList.toggle("open", other === page);
    root.classList.toggle("on-page", Boolean(page));
    if (page) {
      const [before, after] = anchorsAround(page);
      setBeside(one(".before", page), before);
      setBeside(one(".after", page), after);
      left = page.id;
      scrollTo(0, 0);
      page.focus({ preventScroll: true });
    } else if (left) {
      const row = rows.find((candidate) => link(candidate).hash === `#${left}`);
      left = null;
      if (row && !row.hidden) link(row).focus();
    }
  }

  function step(by) {
    const links = shown().map(link);
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
    links[next].focus();
  }

  const onPage = {
    ArrowLeft: () => one(".before", open()).click(),
    ArrowRight: () => one(".after", open()).click(),
    Escape: () => { location.hash = "#cases"; },
  };
  const onOverview = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Home: () => shown().map(link).at(0)?.focus(),
    End: () => shown().map(link).at(-1)?.focus(),
    "/": () => { text.focus(); text.select(); },
  };

  function key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target;
    if (target === text) {
      if (event.key === "Escape" && text.value) { text.value = ""; filter(); }
      else if (event.key === "Escape") text.blur();
      else if (event.key === "ArrowDown" || event.key === "Enter") step(1);
      else return;
      event.preventDefault();
      return;
    }
    if (target === tag) return;
    const scrolls = target.matches(".scroll") && target.scrollWidth > target.clientWidth;
    if (scrolls && event.key.startsWith("Arrow")) return;
    const act = (open() ? onPage : onOverview)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  function showTheme() { theme.ariaPressed = String(isDark()); }

  for (const button of buttons) {
    button.addEventListener("click", () => { button.ariaPressed = String(button.ariaPressed !== "true"); filter(); });
  }
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; showTheme(); });
  dark.addEventListener("change", showTheme);
  text.addEventListener("input", filter);
  tag.addEventListener("change", filter);
  one("#clear").addEventListener("click", clear);
  addEventListener("keydown", key);
  addEventListener("hashchange", route);

  root.classList.add("js");
  for (const element of [theme, one("#filters"), one("#keys")]) element.hidden = false;
  showTheme();
  filter();
  route();
})();
