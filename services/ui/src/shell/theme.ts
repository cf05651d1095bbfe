// Light or dark: as the system says, until somebody chooses.
const KEY = "theme"

export type Theme = "light" | "dark" | "system"

export function currentTheme(): Theme {
  const theme = document.documentElement.dataset.theme
  return theme === "light" || theme === "dark" ? theme : "system"
}

export function chooseTheme(theme: Theme) {
  if (theme === "system") {
    delete document.documentElement.dataset.theme
    localStorage.removeItem(KEY)
  } else {
    document.documentElement.dataset.theme = theme
    localStorage.setItem(KEY, theme)
  }
  document.dispatchEvent(new Event("theme"))
}

export function restoreTheme() {
  const theme = localStorage.getItem(KEY)
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme
}
