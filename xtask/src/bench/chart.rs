//! The chart of a run: throughput and tails beside Kitex's, and the curves of growth. Draws what it is given;
//! knows no target.

mod svg;

use self::svg::{Anchor, Svg};
use super::findings::Findings;
use super::growth::Point;
use super::judge::times;
use super::matrix::Figure;
use super::peers::Pair;
use super::works::{BARE, KITEX, OURS, TONIC, WORKS, Work};
use crate::number::thousands;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 860.0;
const MARGIN: f64 = 28.0;

/// Where the names of works end and bars begin, and the widths of the two panels of bars.
const NAMES: f64 = 108.0;
const THROUGHPUT: f64 = 470.0;
const TAILS_AT: f64 = 690.0;
const TAILS: f64 = 210.0;
const BARS_TOP: f64 = 118.0;
const GROUP: f64 = 73.0;
const BAR: f64 = 13.0;

const CURVES_TOP: f64 = 620.0;
const CURVES_HEIGHT: f64 = 160.0;
const CURVE: f64 = 400.0;

/// A pair, its name in the legend, its color.
const SERIES: [(Pair, &str, &str); 4] = [
    (OURS, "ours", "#1d4ed8"),
    (TONIC, "tonic", "#ea9a3e"),
    (KITEX, "Kitex", "#8b95a5"),
    (BARE, "bare loop (no RPC)", "#cfd6e0"),
];
const OURS_COLOR: &str = SERIES[0].2;
const GRID: &str = "#e6e9ef";
const INK: &str = "#1f2733";
const PALE: &str = "#5b6676";

/// The chart, as SVG.
pub(super) fn chart(findings: &Findings) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT);
    legend(&mut svg);
    let throughput = Panel {
        title: "Throughput, Kitex = 1 (more is better)",
        left: MARGIN + NAMES,
        width: THROUGHPUT,
        value: |figure| figure.ops,
    };
    let tails = Panel {
        title: "p99, Kitex = 1 (less is better)",
        left: TAILS_AT,
        width: TAILS,
        value: |figure| figure.p99,
    };
    for (row, work) in WORKS.iter().enumerate() {
        svg.bold(MARGIN + NAMES - 12.0, group_top(row) + 2.5 * BAR, Anchor::End, INK, &work.name());
    }
    throughput.draw(&mut svg, findings);
    tails.draw(&mut svg, findings);
    if let Ok(growth) = &findings.growth {
        curve(&mut svg, MARGIN + 40.0, "Cost of an echo by streams on one connection", &growth.streams);
        curve(&mut svg, MARGIN + 40.0 + 490.0, "Cost of an echo by connections", &growth.connections);
    }
    svg.finish()
}

fn legend(svg: &mut Svg) {
    svg.title(MARGIN, 44.0, "Ours, tonic, Kitex and a bare loop, side by side in one run");
    let mut x = MARGIN;
    for (_, name, color) in SERIES {
        svg.rect((x, 58.0), (12.0, 12.0), color);
        svg.text(x + 18.0, 68.5, Anchor::Start, PALE, name);
        x += 46.0 + 7.0 * f64::from(u32::try_from(name.len()).unwrap_or_default());
    }
}

fn group_top(row: usize) -> f64 {
    BARS_TOP + GROUP * f64::from(u32::try_from(row).unwrap_or_default())
}

/// Bars of one value of each work and pair, beside Kitex's.
struct Panel {
    title: &'static str,
    left: f64,
    width: f64,
    value: fn(&Figure) -> f64,
}

impl Panel {
    fn draw(&self, svg: &mut Svg, findings: &Findings) {
        svg.bold(self.left, BARS_TOP - 16.0, Anchor::Start, INK, self.title);
        let ratios = |work: Work| SERIES.map(|(pair, ..)| self.ratio(findings, work, pair));
        let largest = WORKS.iter().flat_map(|work| ratios(*work)).flatten().fold(1.0, f64::max);
        let step = step(largest);
        let bottom = group_top(WORKS.len()) - 12.0;
        let mut tick = 0.0;
        while tick <= largest {
            let x = self.left + self.width * tick / largest;
            svg.line((x, BARS_TOP - 6.0), (x, bottom), if tick == 1.0 { PALE } else { GRID });
            svg.text(x, bottom + 14.0, Anchor::Middle, PALE, &format!("{tick}"));
            tick += step;
        }
        for (row, work) in WORKS.iter().enumerate() {
            let mut top = group_top(row);
            for (ratio, (.., color)) in ratios(*work).into_iter().zip(SERIES) {
                if let Some(ratio) = ratio {
                    let width = (self.width * ratio / largest).max(1.0);
                    svg.rect((self.left, top), (width, BAR - 2.0), color);
                    svg.small(self.left + width + 5.0, top + BAR - 3.5, Anchor::Start, PALE, &times(ratio));
                }
                top += BAR;
            }
        }
    }

    fn ratio(&self, findings: &Findings, work: Work, pair: Pair) -> Option<f64> {
        let value = |pair| findings.matrix.figure(work, pair).map(|figure| (self.value)(&figure));
        let (one, kitex) = (value(pair)?, value(KITEX)?);
        (kitex > 0.0).then(|| one / kitex)
    }
}

/// How far ticks lie apart, so that there are few.
fn step(largest: f64) -> f64 {
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
    steps.into_iter().find(|step| largest / step <= 8.0).unwrap_or(100.0)
}

/// Cost beside the cheapest of the curve, the number of streams or connections in powers of ten.
fn curve(svg: &mut Svg, left: f64, title: &str, points: &[Point]) {
    let cheapest = points.iter().map(|point| point.cost).fold(f64::INFINITY, f64::min);
    let costs: Vec<f64> = points.iter().map(|point| point.cost / cheapest).collect();
    let largest = costs.iter().copied().fold(2.0, f64::max);
    let bottom = CURVES_TOP + CURVES_HEIGHT;
    let height = |cost: f64| bottom - CURVES_HEIGHT * cost / largest;
    svg.bold(left - 40.0, CURVES_TOP - 22.0, Anchor::Start, INK, title);
    let mut tick = 0.0;
    while tick <= largest {
        svg.line((left, height(tick)), (left + CURVE, height(tick)), if tick == 1.0 { PALE } else { GRID });
        svg.text(left - 8.0, height(tick) + 4.0, Anchor::End, PALE, &times(tick).replace(".00", ""));
        tick += step(largest);
    }
    let most = points.last().map_or(10.0, |last| decades(last.count)).max(1.0);
    let place = |point: &Point| left + CURVE * decades(point.count) / most;
    let spots: Vec<(f64, f64)> =
        points.iter().zip(&costs).map(|(point, cost)| (place(point), height(*cost))).collect();
    svg.path(&spots, OURS_COLOR);
    for ((spot, point), cost) in spots.into_iter().zip(points).zip(costs) {
        svg.dot(spot, OURS_COLOR);
        svg.small(spot.0, spot.1 - 9.0, Anchor::Middle, PALE, &times(cost));
        svg.text(spot.0, bottom + 18.0, Anchor::Middle, PALE, &thousands(whole(point.count)));
    }
}

fn decades(count: usize) -> f64 {
    whole(count).log10()
}

fn whole(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
