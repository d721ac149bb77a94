import { BarChart, CustomChart, LineChart, LinesChart, MapChart, ScatterChart } from 'echarts/charts';
import {
  AriaComponent,
  GeoComponent,
  GridComponent,
  LegendComponent,
  TooltipComponent,
} from 'echarts/components';
import { type EChartsCoreOption, type EChartsType, init, use } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

use([
  AriaComponent,
  BarChart,
  CanvasRenderer,
  CustomChart,
  GeoComponent,
  GridComponent,
  LegendComponent,
  LineChart,
  LinesChart,
  MapChart,
  ScatterChart,
  TooltipComponent,
]);

export interface Colours {
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly panel: string;
  readonly land: string;
  readonly good: string;
  readonly warn: string;
  readonly bad: string;
  readonly info: string;
  /** For series; told apart by people who do not see all colours too (Okabe and Ito). */
  readonly series: readonly string[];
}

function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: of('text'),
    muted: of('muted'),
    line: of('line'),
    panel: of('panel'),
    land: of('land'),
    good: of('good'),
    warn: of('warn'),
    bad: of('bad'),
    info: of('info'),
    series: Array.from({ length: 8 }, (_, i) => of(`series-${i + 1}`)),
  };
}

/** The colours of the theme, which may change while the page is open. */
export function useColours(): Colours {
  const [value, setValue] = useState(colours);
  useEffect(() => {
    const update = () => setValue(colours());
    addEventListener('themechange', update);
    return () => removeEventListener('themechange', update);
  }, []);
  return value;
}

/** Nothing of a tooltip is ever HTML: names in certificates are written by strangers. */
export const plainTooltip = (palette: Colours) => ({
  renderMode: 'richText' as const,
  backgroundColor: palette.panel,
  borderColor: palette.line,
  textStyle: { color: palette.text, fontSize: 12 },
});

/** A plot; the same as words is its label, and as a table what is below it. */
export function Chart({
  option,
  label,
  note = '',
  height,
  children,
}: {
  option: EChartsCoreOption;
  label: string;
  note?: string;
  height: number;
  children?: ComponentChildren;
}) {
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType>(undefined);
  useEffect(() => {
    const made = init(element.current);
    chart.current = made;
    const observer = new ResizeObserver(() => made.resize());
    observer.observe(element.current!);
    return () => {
      observer.disconnect();
      made.dispose();
    };
  }, []);
  useEffect(() => {
    chart.current!.setOption({ animation: false, ...option }, { notMerge: true });
  }, [option]);
  return (
    <figure class="chart">
      <div ref={element} role="img" aria-label={label} style={{ height: `${height}px` }} />
      {note && <figcaption class="note">{note}</figcaption>}
      {children && (
        <details>
          <summary>As a table</summary>
          {children}
        </details>
      )}
    </figure>
  );
}
