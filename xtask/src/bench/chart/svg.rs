//! Shapes and words as SVG. Owns fonts and sizes; knows nothing of what is drawn.

use std::fmt::Write;

/// Which part of a text is at its position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug)]
pub(super) struct Svg {
    out: String,
}

const FONTS: &str = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif";

impl Svg {
    /// An empty card. Its ground is white in a dark page too, so that every color can be read.
    pub(super) fn new(width: f64, height: f64) -> Self {
        let out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"{FONTS}\">\n<rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" \
             rx=\"10\" fill=\"#ffffff\" stroke=\"#d9dee6\"/>\n",
            width - 1.0,
            height - 1.0,
        );
        Self { out }
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\" fill=\"{color}\"/>"
        ));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
        self.put(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>"
        ));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], color: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2.5\"/>",
            points.join(" ")
        ));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), color: &str) {
        self.put(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>"));
    }

    pub(super) fn title(&mut self, x: f64, y: f64, text: &str) {
        self.words((x, y), Anchor::Start, ("#1f2733", 19, 600), text);
    }

    pub(super) fn bold(&mut self, x: f64, y: f64, anchor: Anchor, color: &str, text: &str) {
        self.words((x, y), anchor, (color, 13, 600), text);
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, color: &str, text: &str) {
        self.words((x, y), anchor, (color, 12, 400), text);
    }

    pub(super) fn small(&mut self, x: f64, y: f64, anchor: Anchor, color: &str, text: &str) {
        self.words((x, y), anchor, (color, 10, 400), text);
    }

    fn words(
        &mut self,
        (x, y): (f64, f64),
        anchor: Anchor,
        (color, size, weight): (&str, u32, u32),
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" font-weight=\"{weight}\" \
             fill=\"{color}\">{text}</text>"
        ));
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{element}");
    }
}
