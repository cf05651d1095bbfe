/** Puts the focus back on what a panel was opened from. */
export const focusOn = (selector: string) => document.querySelector<HTMLElement>(selector)?.focus()
