/* Shapes of the live view. */

import type { Answers, Draggable, Knob, OwnAnswers, Pair, Palette, Point, Ratios, Sums, Surface, Theme, View }
  from "../types";

export interface Gauge {
  id: string;
  label: string;
  better: "up" | "down" | "match";
  about: string;
  original: number | null;
  /** Of each retrained network. */
  retrained: number[];
  /** The exact value, if there is one. */
  settled: number | null;
  interval: Pair | null;
}

/** A gauge as it is drawn: `value` is exact or not. */
export interface Reading extends Gauge {
  value: number | null | undefined;
  exact: boolean;
}

/** A setting with a name, on the way of "Just show me". */
export interface Stage extends Point {
  name: string;
}

/** What unlearn_core/picture/told.py says. α and λ are null for a method that has neither. */
export interface LiveData {
  key: string;
  /** Whose picture this is, if it is a former one. */
  /** Whether to tell when the exact answer is drawn. */
  ask?: boolean;
  former: string;
  scene: string;
  points: string | null;
  outcome: string;
  image: string;
  alpha: Knob | null;
  lambda: Knob | null;
  gauges: Gauge[];
  settled: { alpha: number | null; lambda: number | null } | null;
  exact: Answers | null;
  /** Where "Just show me" leads, from too weak to ruin; empty where there is no such way. */
  show: Stage[];
  palette: Palette;
  /** No server is there to ask: whatever is not in the file stays interpolated. */
  alone?: boolean;
}

export interface SceneBlob {
  header: Ratios["header"] & {
    n: number; classes: string[]; forget: number[]; words: string; alphas: number[]; lambdas: number[];
  };
  arrays: Ratios["arrays"] & {
    truth: Uint8Array;
    member: Uint8Array;
    forgotten: Uint8Array;
    picture: Int32Array;
    before_xy: Uint16Array;
    before_class: Uint8Array;
    before_probability: Uint8Array;
  };
}

export interface Scene extends SceneBlob {
  xy: Float32Array;
  groups: Groups;
}

export interface Groups {
  retained: number[];
  forgotten: number[];
}

export interface PointsBlob {
  header: { from: number; total: number; complete: boolean };
  arrays: { index: Int32Array; gauges: Float32Array; xy: Uint8Array; klass: Uint8Array };
}

export interface OutcomeBlob {
  header: object;
  arrays: { xy: Uint16Array; klass: Uint8Array; probability: Uint8Array; change: Float32Array };
}

export interface Outcome extends OutcomeBlob {
  url: string;
  xy: Float32Array;
}

export interface Landscape {
  alphas: number[];
  lambdas: number[];
  cells: { gauges: ArrayLike<number>; xy: ArrayLike<number>; klass: ArrayLike<number> }[];
  held: number;
  total: number;
  complete: boolean;
}

export interface Spot {
  corners: number[];
  weights: number[];
}

export interface Scale {
  left: number;
  top: number;
  width: number;
  height: number;
  x(alpha: number): number;
  y(lambda: number): number;
  alpha(x: number): number;
  lambda(y: number): number;
}

export interface Rows {
  row: number;
  left: number;
  width: number;
  top: number;
  /** Every which row has room for its name. */
  every: number;
  labels: string[];
}

export interface HeatRows extends Rows {
  x(log: number): number;
  first: number;
  last: number;
  ink: Uint8Array;
  canvas: OffscreenCanvas;
  pixels?: ImageData;
}

export type MapName = "before" | "after";
export type CanvasName = "pad" | "heat" | MapName;

/** All of the view. What is null was not loaded yet, or is not there without α and λ. */
export interface Live extends View<LiveData>, Draggable {
  data: LiveData;
  component: View<LiveData>["component"];
  canvases: Record<CanvasName, HTMLCanvasElement>;
  surfaces: Record<CanvasName, Surface>;
  ranges: Record<"alpha" | "lambda", HTMLInputElement>;
  gauges: HTMLElement[];
  tracks: Surface[];
  /** What could not be loaded, in sentences. */
  notes: Record<string, string>;
  theme: Theme;
  /** All that the looks depend on, as text. */
  look: string;
  /** Nothing to drag. Undefined until the first data. */
  still: boolean | undefined;
  alpha: number;
  lambda: number;
  describing: boolean;
  /** The stage that "Just show me" is at, or empty; and when it ended last. */
  show: string;
  ended: number;
  hovered: number;
  hoveredIn: MapName;
  pinned: number;
  lastExact: number[];
  scene: Scene | null;
  sums: Sums | null;
  answers: OwnAnswers | null;
  domain: Pair;
  landscape: Landscape | null;
  outcome: Outcome | null;
  /** Where images are shown, and as which class. */
  shown: Float32Array | null;
  klass: ArrayLike<number>;
  /** Places of the bars of a still method. */
  bars: Float64Array | null;
  layout: Rows | HeatRows | null;
  scale: Scale;
  shade: OffscreenCanvas | null;
  backdrop: OffscreenCanvas;
  glide: { from: Float32Array; bars: Float64Array; start: number } | null;
}
