import { useEffect, useState } from 'preact/hooks';

const themes = ['auto', 'light', 'dark'] as const;
type ThemeName = (typeof themes)[number];

const dark = matchMedia('(prefers-color-scheme: dark)');
const chosen = (): ThemeName => themes.find((one) => one === localStorage.getItem('mecai-theme')) ?? 'auto';

/** Says to the style sheet which colours to take, and to plots that they have changed. */
function apply(): void {
  const theme = chosen();
  const { dataset } = document.documentElement;
  dataset['theme'] = theme === 'auto' ? (dark.matches ? 'dark' : 'light') : theme;
  dispatchEvent(new Event('themechange'));
}
dark.addEventListener('change', apply);
// Before anything is drawn.
apply();

export function Theme() {
  const [theme, setTheme] = useState(chosen);
  useEffect(() => {
    localStorage.setItem('mecai-theme', theme);
    apply();
  }, [theme]);
  return (
    <button type="button" onClick={() => setTheme(themes[(themes.indexOf(theme) + 1) % themes.length]!)}>
      Theme: {theme}
    </button>
  );
}
