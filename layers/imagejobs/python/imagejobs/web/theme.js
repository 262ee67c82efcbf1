/** Light or dark: as the device is set, or as the person chose here. */

const KEY = "imagejobs.theme";
const CHOICES = ["auto", "light", "dark"];

const choice = document.getElementById("theme");

/** @param {string} theme One of `CHOICES`; "auto" leaves it to the device. */
function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

const saved = localStorage.getItem(KEY);
const theme = CHOICES.includes(saved) ? saved : "auto";
apply(theme);
choice.value = theme;
choice.addEventListener("change", () => {
  localStorage.setItem(KEY, choice.value);
  apply(choice.value);
});
