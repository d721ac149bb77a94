#!/usr/bin/env node
/**
 * `npm run plan-figures -- <file…>`: what benches printed becomes what the plan reckons with, and the root README shows
 * the sheet that comes of it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runAdmin } from '../admin.ts';
import { planFigures, readFigures } from './figures.ts';

const kept = join(import.meta.dirname, 'figures.jsonl');
const readme = join(import.meta.dirname, '../../../README.md');
const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: npm run plan-figures -- <output of `npm run bench -- network log analytics`>…');
  process.exit(2);
}

// What the files do not tell stays as it is, and is named.
const [before, ...runs] = [kept, ...files].map((file) => readFileSync(file, 'utf8'));
const told = runs.join('\n');
const news = readFigures(told);
const figures = [...planFigures(`${before}\n${told}`).values()];
for (const { bench, figure, value, unit } of figures) {
  if (!news.some((one) => one.bench === bench && one.figure === figure && one.unit === unit))
    console.error(`stays: ${bench} ${figure}: ${value} ${unit}`);
}
writeFileSync(kept, `${figures.map((figure) => JSON.stringify(figure)).join('\n')}\n`);

const lines: string[] = [];
const { log } = console;
console.log = (line: string) => lines.push(line);
process.exitCode = await runAdmin(['plan', 'sheet', '--endpoints', '700e6'], {}, Date.now);
console.log = log;
const block = /(?<=<!-- plan: begin -->\n)[\s\S]*(?=<!-- plan: end -->)/;
writeFileSync(
  readme,
  readFileSync(readme, 'utf8').replace(block, () => `\`\`\`text\n${lines.join('\n')}\n\`\`\`\n`),
);
console.log(lines.join('\n'));
