/* Shapes of the layers view. */

import type { Answers, Draggable, Knob, OwnAnswers, Pair, Palette, Ratios, Sums, Surface, Theme, View } from "../types";

/** What ui/layers_view.py sends. */
export interface LayersData {
  key: string;
  former: string;
  scene: string;
  alpha: Knob;
  lambda: number;
  exact: Answers & { alpha: number; lambda: number };
  stages: string[];
  /** The chosen layer's name. */
  layer: string;
  palette: Palette;
}

export interface Scale {
  row: number;
  left: number;
  right: number;
  x(log: number): number;
  log(x: number): number;
  rows: Path2D[];
  names: string[];
}

/** What is there once the scene was loaded. */
export interface Loaded {
  scene: Ratios;
  sums: Sums;
  domain: Pair;
  answers: OwnAnswers;
  scale: Scale;
}

export interface Layers extends View<LayersData>, Draggable {
  data: LayersData;
  component: View<LayersData>["component"];
  canvas: HTMLCanvasElement;
  surface: Surface;
  theme: Theme;
  alpha: number;
  hovered: number;
  loaded: Loaded | null;
}
