/* Shapes of the attacker's view. */

import type { Pair, Palette, Surface, Theme, View } from "../types";

/** Images of one group, one entry each. */
export interface Group {
  value: number[];
  /** Position in the evaluation set. */
  row: number[];
  label: number[];
  /** What the original and the unlearned network say. */
  before: string[];
  after: string[];
}

/** Values of both groups. */
export interface Both<T = ArrayLike<number>> {
  members: T;
  others: T;
}

/** What ui/attack_view.py sends. */
export interface AttackData {
  key: string;
  title: string;
  domain: Pair;
  members: Group;
  others: Group;
  original: Both<number[]>;
  /** Of each retrained network. */
  retrained: Both<number[]>[];
  worst: { title: string; balanced: number; active: boolean };
  classes: string[];
  image: string;
  palette: Palette;
}

export interface Errors {
  fpr: number;
  fnr: number;
  balanced: number;
}

/** Bin and place within the bin of each value of a group. */
export interface Wing {
  bin: number[];
  place: number[];
}

/** An image: in which group (0 members, 1 others), and where there. */
export interface Dot {
  side: number;
  i: number;
}

export interface Layout {
  top: number;
  bottom: number;
  left: number;
  split: number;
  right: number;
  middle: number;
  step: number;
  low: number;
  high: number;
  radius: number;
  y(value: number): number;
  value(y: number): number;
  x(rate: number): number;
}

export interface Attack extends View<AttackData> {
  canvas: HTMLCanvasElement;
  surface: Surface;
  theme: Theme;
  layout: Layout;
  backdrop: OffscreenCanvas;
  dragging: boolean;
  picked: Dot | null;
  /** Of the attack that is shown. */
  key: string;
  threshold: number;
  errors: Errors;
  /** Ascending. */
  groups: Both<Float64Array>;
  original: Both<Float64Array>;
  seeds: Both<Float64Array>[];
  wings: Wing[];
  best: { threshold: number; balanced: number };
  low: { threshold: number; tpr: number };
}
