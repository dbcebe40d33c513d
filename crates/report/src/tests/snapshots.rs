//! What people and programs see, to the letter.

use insta::assert_snapshot;

use super::fixture::{list, pivot, results};
use crate::{Format, Style};

fn shown(layout: &serde_json::Value, format: Format) -> String {
    crate::results(&results(layout), format, &Style::PIPE).unwrap()
}

#[test]
fn a_list_at_a_terminal() {
    assert_snapshot!(shown(&list(), Format::Table), @r#"
    Batch size & learning rate
    Test error in %: median of 3 runs, each at its last epoch.
    Best test error in %: median of 3 runs, each at its best epoch, chosen on the test set.
    Not final: 32 of 36 replicates done (88 %).

    batch size    lr  test error (%)                        best test error (%)  train time
    ──────────  ────  ────────────────────────────────────  ───────────────────  ─────────────────
            64  0.05   9.41                                       9.21           1 m 12 s
            64  0.2    8.21*                                      8.01*          1 m 21 s
            64  0.8   10.68 (2 of 3, 1 diverged)                 10.48 (2 of 3)  1 m 30 s (2 of 3)
            64  3.2   diverged (3 of 3)                          diverged        diverged
           256  0.05  12.80                                      12.60           1 m 48 s
           256  0.2    8.90 [a]                                   8.70           1 m 57 s
           256  0.8    8.46                                       8.26           2 m 06 s
           256  3.2   14.20 (1 of 3, 1 diverged, 1 failed)       14.00 (1 of 3)  2 m 16 s (1 of 3)
          1024  0.05  21.30                                      21.10           2 m 24 s
          1024  0.2   13.23 (2 of 3)                             13.04 (2 of 3)  2 m 33 s (2 of 3)
          1024  0.8    9.70                                       9.50           2 m 42 s
          1024  3.2   pending                                    pending         pending

    *: the least of its column among cells with every run.
    [a] The median mixes device models (NVIDIA H100, NVIDIA H200).
    3 cells have a median of fewer runs, as told in brackets.
    The median of an even number of runs is the mean of the two middle ones.
    5 runs diverged, in 3 cells.
    1 run failed, in 1 cell.
    Trained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell); times compare only within one.
    "#);
}

#[test]
fn a_pivot_at_a_terminal() {
    assert_snapshot!(shown(&pivot(), Format::Table), @r#"
    Batch size & learning rate
    Test error in %: median of 3 runs, each at its last epoch.
    Not final: 32 of 36 replicates done (88 %).

                                             batch size
      lr  64                          256                                   1024
    ────  ──────────────────────────  ────────────────────────────────────  ──────────────
    0.05   9.41                       12.80                                 21.30
    0.2    8.21*                       8.90 [a]                             13.23 (2 of 3)
    0.8   10.68 (2 of 3, 1 diverged)   8.46*                                 9.70*
    3.2   diverged (3 of 3)           14.20 (1 of 3, 1 diverged, 1 failed)  pending

    *: the least of its column among cells with every run.
    [a] The median mixes device models (NVIDIA H100, NVIDIA H200).
    3 cells have a median of fewer runs, as told in brackets.
    The median of an even number of runs is the mean of the two middle ones.
    5 runs diverged, in 3 cells.
    1 run failed, in 1 cell.
    Trained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell).
    "#);
}

#[test]
fn everything_at_a_terminal() {
    assert_snapshot!(shown(&pivot(), Format::Wide), @"
    Batch size & learning rate
    Test error in %: median of 3 runs, each at its last epoch.
    Not final: 32 of 36 replicates done (88 %).
    The n in brackets is that of the whole row.

    batch                                                    min   max  mean   sd interval of median       train
     size   lr test error (%)                            n   (%)   (%)   (%)  (%) (%)                       time cell
    ───── ──── ──────────────────────────────────── ────── ───── ───── ───── ──── ───────────────────── ──────── ────────────
       64 0.05  9.41                                3 of 3  9.38  9.62  9.47 0.13  9.38 to 9.62 (75 %)  1 m 12 s c0c0c0c0c0c0
       64 0.2   8.21*                               3 of 3  8.05  8.44  8.23 0.20  8.05 to 8.44 (75 %)  1 m 21 s c1c1c1c1c1c1
       64 0.8  10.68 (2 of 3, 1 diverged)           2 of 3 10.35 11.02 10.68 0.47 10.35 to 11.02 (50 %) 1 m 30 s c2c2c2c2c2c2
       64 3.2  diverged (3 of 3)                    0 of 3                                              diverged c3c3c3c3c3c3
      256 0.05 12.80                                3 of 3 12.60 12.90 12.77 0.15 12.60 to 12.90 (75 %) 1 m 48 s c4c4c4c4c4c4
      256 0.2   8.90 [a]                            3 of 3  8.70  9.10  8.90 0.20  8.70 to 9.10 (75 %)  1 m 57 s c5c5c5c5c5c5
      256 0.8   8.46                                3 of 3  8.39  8.50  8.45 0.06  8.39 to 8.50 (75 %)  2 m 06 s c6c6c6c6c6c6
      256 3.2  14.20 (1 of 3, 1 diverged, 1 failed) 1 of 3 14.20 14.20 14.20                            2 m 16 s c7c7c7c7c7c7
     1024 0.05 21.30                                3 of 3 20.90 22.40 21.53 0.78 20.90 to 22.40 (75 %) 2 m 24 s c8c8c8c8c8c8
     1024 0.2  13.23 (2 of 3)                       2 of 3 13.10 13.37 13.23 0.19 13.10 to 13.37 (50 %) 2 m 33 s c9c9c9c9c9c9
     1024 0.8   9.70                                3 of 3  9.52  9.88  9.70 0.18  9.52 to 9.88 (75 %)  2 m 42 s cacacacacaca
     1024 3.2  pending                              0 of 3                                               pending cbcbcbcbcbcb

    *: the least of its column among cells with every run.
    [a] The median mixes device models (NVIDIA H100, NVIDIA H200).
    3 cells have a median of fewer runs, as told in brackets.
    The median of an even number of runs is the mean of the two middle ones.
    5 runs diverged, in 3 cells.
    1 run failed, in 1 cell.
    Trained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell); times compare only within one.
    The range from min to max holds the true median in 50 % of cases at n = 2, 75 % at n = 3; the interval of the median is the shortest between runs equally far from either end that holds it in at least 95 % of cases, of fewer than 6 runs their range; in brackets what it covers, by order statistics, whatever the distribution of runs.
    ");
}

#[test]
fn colours() {
    let style = Style {
        color: true,
        width: Some(100),
        unicode: true,
    };
    let text = crate::results(&results(&pivot()), Format::Table, &style).unwrap();
    assert_snapshot!(text.replace('\x1b', "ESC"), @r#"
    ESC[1mBatch size & learning rateESC[0m
    Test error in %: median of 3 runs, each at its last epoch.
    Not final: 32 of 36 replicates done (88 %).

                                             ESC[1mbatch sizeESC[0m
      ESC[1mlrESC[0m  ESC[1m64ESC[0m                          ESC[1m256ESC[0m                                   ESC[1m1024ESC[0m
    ────  ──────────────────────────  ────────────────────────────────────  ──────────────
    0.05   9.41                       12.80                                 21.30
    0.2    ESC[1m8.21ESC[0m                        8.90 [a]                             13.23 (2 of 3)
    0.8   10.68 (2 of 3, 1 diverged)   ESC[1m8.46ESC[0m                                  ESC[1m9.70ESC[0m
    3.2   ESC[31mdiverged (3 of 3)ESC[0m           14.20 (1 of 3, 1 diverged, 1 failed)  ESC[2mpendingESC[0m

    ESC[2mbold: the least of its column among cells with every run.ESC[0m
    ESC[2m[a] The median mixes device models (NVIDIA H100, NVIDIA H200).ESC[0m
    ESC[2m3 cells have a median of fewer runs, as told in brackets.ESC[0m
    ESC[2mThe median of an even number of runs is the mean of the two middle ones.ESC[0m
    ESC[2m5 runs diverged, in 3 cells.ESC[0m
    ESC[2m1 run failed, in 1 cell.ESC[0m
    ESC[2mTrained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell).ESC[0m
    "#);
}

#[test]
fn markdown() {
    assert_snapshot!(shown(&pivot(), Format::Markdown), @r#"
    **Batch size & learning rate**

    Test error in %: median of 3 runs, each at its last epoch.
    Not final: 32 of 36 replicates done (88 %).

    | lr | batch size 64 | batch size 256 | batch size 1024 |
    | ---: | ---: | ---: | ---: |
    | 0.05 | 9.41 | 12.80 | 21.30 |
    | 0.2 | **8.21** | 8.90 <sup>a</sup> | 13.23 (2 of 3) |
    | 0.8 | 10.68 (2 of 3, 1 diverged) | **8.46** | **9.70** |
    | 3.2 | diverged (3 of 3) | 14.20 (1 of 3, 1 diverged, 1 failed) | pending |

    - Bold: the least of its column among cells with every run.
    - <sup>a</sup> The median mixes device models (NVIDIA H100, NVIDIA H200).
    - 3 cells have a median of fewer runs, as told in brackets.
    - The median of an even number of runs is the mean of the two middle ones.
    - 5 runs diverged, in 3 cells.
    - 1 run failed, in 1 cell.
    - Trained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell).
    "#);
    assert_snapshot!(shown(&list(), Format::Markdown), @r#"
    **Batch size & learning rate**

    Test error in %: median of 3 runs, each at its last epoch.
    Best test error in %: median of 3 runs, each at its best epoch, chosen on the test set.
    Not final: 32 of 36 replicates done (88 %).

    | batch size | lr | test error (%) | best test error (%) | train time |
    | ---: | ---: | ---: | ---: | ---: |
    | 64 | 0.05 | 9.41 | 9.21 | 1 m 12 s |
    | 64 | 0.2 | **8.21** | **8.01** | 1 m 21 s |
    | 64 | 0.8 | 10.68 (2 of 3, 1 diverged) | 10.48 (2 of 3) | 1 m 30 s (2 of 3) |
    | 64 | 3.2 | diverged (3 of 3) | diverged | diverged |
    | 256 | 0.05 | 12.80 | 12.60 | 1 m 48 s |
    | 256 | 0.2 | 8.90 <sup>a</sup> | 8.70 | 1 m 57 s |
    | 256 | 0.8 | 8.46 | 8.26 | 2 m 06 s |
    | 256 | 3.2 | 14.20 (1 of 3, 1 diverged, 1 failed) | 14.00 (1 of 3) | 2 m 16 s (1 of 3) |
    | 1024 | 0.05 | 21.30 | 21.10 | 2 m 24 s |
    | 1024 | 0.2 | 13.23 (2 of 3) | 13.04 (2 of 3) | 2 m 33 s (2 of 3) |
    | 1024 | 0.8 | 9.70 | 9.50 | 2 m 42 s |
    | 1024 | 3.2 | pending | pending | pending |

    - Bold: the least of its column among cells with every run.
    - <sup>a</sup> The median mixes device models (NVIDIA H100, NVIDIA H200).
    - 3 cells have a median of fewer runs, as told in brackets.
    - The median of an even number of runs is the mean of the two middle ones.
    - 5 runs diverged, in 3 cells.
    - 1 run failed, in 1 cell.
    - Trained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell); times compare only within one.
    "#);
}

#[test]
fn html() {
    assert_snapshot!("html", shown(&pivot(), Format::Html));
}

#[test]
fn latex() {
    assert_snapshot!(shown(&pivot(), Format::Latex), @r#"
    % needs \usepackage{booktabs}
    \begin{table}
      \centering
      \caption{Batch size \& learning rate. Test error in \%: median of 3 runs, each at its last epoch. Not final: 32 of 36 replicates done (88 \%).}
      \footnotesize\setlength{\tabcolsep}{3pt}
      \begin{tabular}{@{}r@{}lr@{}lr@{}lr@{}l@{}}
        \toprule
         &  & \multicolumn{6}{c}{batch size} \\
        \cmidrule(lr){3-8}
        \multicolumn{2}{c}{lr} & \multicolumn{2}{c}{64} & \multicolumn{2}{c}{256} & \multicolumn{2}{c}{1024} \\
        \midrule
        0 & .05 & 9 & .41 & 12 & .80 & 21 & .30 \\
        0 & .2 & \textbf{8} & \textbf{.21} & 8 & .90\textsuperscript{a} & 13 & .23 (2 of 3) \\
        0 & .8 & 10 & .68 (2 of 3, 1 diverged) & \textbf{8} & \textbf{.46} & \textbf{9} & \textbf{.70} \\
        3 & .2 & \multicolumn{2}{l}{diverged (3 of 3)} & 14 & .20 (1 of 3, 1 diverged, 1 failed) & \multicolumn{2}{l}{pending} \\
        \bottomrule
      \end{tabular}
      \par\smallskip\raggedright\footnotesize
      Bold: the least of its column among cells with every run.\par
      \textsuperscript{a} The median mixes device models (NVIDIA H100, NVIDIA H200).\par
      3 cells have a median of fewer runs, as told in brackets.\par
      The median of an even number of runs is the mean of the two middle ones.\par
      5 runs diverged, in 3 cells.\par
      1 run failed, in 1 cell.\par
      Trained on NVIDIA H100 (10 cells), NVIDIA H200 (1 cell).\par
    \end{table}
    "#);
}

#[test]
fn csv() {
    assert_snapshot!(shown(&pivot(), Format::Csv).replace("\r\n", "\n"), @"
    batch_size,optimizer.lr,n,of,median,min,max,range_coverage,values,succeeded,diverged,failed,cancelled,open,train_seconds_median,cell,imported,imported_from
    64,0.05,3,3,9.41,9.38,9.62,0.75,9.41;9.62;9.38,3,0,0,0,0,72,c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0,0,
    64,0.2,3,3,8.21,8.05,8.44,0.75,8.21;8.05;8.44,3,0,0,0,0,81,c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1,0,
    64,0.8,2,3,10.684999999999999,10.35,11.02,0.5,10.35;11.02,2,1,0,0,0,90,c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2,0,
    64,3.2,0,3,,,,,,0,3,0,0,0,,c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3,0,
    256,0.05,3,3,12.8,12.6,12.9,0.75,12.8;12.6;12.9,3,0,0,0,0,108,c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4,0,
    256,0.2,3,3,8.9,8.7,9.1,0.75,8.9;9.1;8.7,3,0,0,0,0,117,c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5,0,
    256,0.8,3,3,8.46,8.39,8.5,0.75,8.46;8.5;8.39,3,0,0,0,0,126,c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6c6,0,
    256,3.2,1,3,14.2,14.2,14.2,,14.2,1,1,1,0,0,136,c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7,0,
    1024,0.05,3,3,21.3,20.9,22.4,0.75,21.3;20.9;22.4,3,0,0,0,0,144,c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8,0,
    1024,0.2,2,3,13.235,13.1,13.37,0.5,13.37;13.1,2,0,0,0,1,152.5,c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9c9,0,
    1024,0.8,3,3,9.7,9.52,9.88,0.75,9.52;9.88;9.7,3,0,0,0,0,162,cacacacacacacacacacacacacacacacacacacacacacacacacacacacacacacaca,0,
    1024,3.2,0,3,,,,,,0,0,0,0,3,,cbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcb,0,
    ");
}

#[test]
fn json() {
    let text = shown(&pivot(), Format::Json);
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = document["rows"].as_array_mut().unwrap();
    assert_eq!(rows.len(), 12);
    *rows = vec![rows[5].clone(), rows[7].clone()];
    assert_snapshot!(format!("{document:#}"), @r#"
    {
      "digest": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
      "measure": "last",
      "metric": "test_error",
      "replicates": 3,
      "rows": [
        {
          "axes": {
            "batch_size": 256,
            "optimizer.lr": 0.2
          },
          "cancelled": 0,
          "cell": "c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5",
          "deviation": 0.20000000000000018,
          "diverged": 0,
          "even": false,
          "failed": 0,
          "imported": 0,
          "index": 5,
          "interval": [
            8.7,
            9.1
          ],
          "interval_coverage": 0.75,
          "interval_method": "order_statistics",
          "max": 9.1,
          "mean": 8.9,
          "median": 8.9,
          "min": 8.7,
          "mixed": {
            "devices": [
              "NVIDIA H100",
              "NVIDIA H200"
            ]
          },
          "n": 3,
          "of": 3,
          "open": 0,
          "range_coverage": 0.75,
          "reference": null,
          "replicates": [
            {
              "device": "NVIDIA H100",
              "job": "5151515151515151515151515151515151515151515151515151515151515151",
              "replicate": 1,
              "seed": 501,
              "state": "succeeded",
              "value": 8.9
            },
            {
              "device": "NVIDIA H200",
              "job": "5252525252525252525252525252525252525252525252525252525252525252",
              "replicate": 2,
              "seed": 502,
              "state": "succeeded",
              "value": 9.1
            },
            {
              "device": "NVIDIA H100",
              "job": "5353535353535353535353535353535353535353535353535353535353535353",
              "replicate": 3,
              "seed": 503,
              "state": "succeeded",
              "value": 8.7
            }
          ],
          "succeeded": 3,
          "train_seconds_median": 117.0,
          "values": [
            8.9,
            9.1,
            8.7
          ],
          "verdict": null
        },
        {
          "axes": {
            "batch_size": 256,
            "optimizer.lr": 3.2
          },
          "cancelled": 0,
          "cell": "c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7",
          "deviation": null,
          "diverged": 1,
          "even": false,
          "failed": 1,
          "imported": 0,
          "index": 7,
          "interval": null,
          "interval_coverage": null,
          "interval_method": null,
          "max": 14.2,
          "mean": 14.2,
          "median": 14.2,
          "min": 14.2,
          "n": 1,
          "of": 3,
          "open": 0,
          "range_coverage": null,
          "reference": null,
          "replicates": [
            {
              "fault": "diverged",
              "job": "7171717171717171717171717171717171717171717171717171717171717171",
              "replicate": 1,
              "seed": 701,
              "state": "failed",
              "value": null
            },
            {
              "fault": "out_of_memory",
              "job": "7272727272727272727272727272727272727272727272727272727272727272",
              "replicate": 2,
              "seed": 702,
              "state": "failed",
              "value": null
            },
            {
              "device": "NVIDIA H100",
              "job": "7373737373737373737373737373737373737373737373737373737373737373",
              "replicate": 3,
              "seed": 703,
              "state": "succeeded",
              "value": 14.2
            }
          ],
          "succeeded": 1,
          "train_seconds_median": 136.0,
          "values": [
            14.2
          ],
          "verdict": null
        }
      ],
      "schema_version": 1,
      "sweep": "rates",
      "title": "Batch size & learning rate",
      "unit": "%"
    }
    "#);
}

#[test]
fn json_lines() {
    let text = shown(&pivot(), Format::Jsonl);
    assert_eq!(text.lines().count(), 12);
    assert_snapshot!(text.lines().nth(3).unwrap(), @r#"{"schema_version":1,"sweep":"rates","cell":"c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3","index":3,"axes":{"batch_size":64,"optimizer.lr":3.2},"n":0,"of":3,"median":null,"min":null,"max":null,"mean":null,"deviation":null,"range_coverage":null,"interval":null,"interval_coverage":null,"interval_method":null,"values":[],"even":false,"succeeded":0,"diverged":3,"failed":0,"cancelled":0,"open":0,"imported":0,"train_seconds_median":null,"reference":null,"verdict":null,"replicates":[{"replicate":1,"job":"3131313131313131313131313131313131313131313131313131313131313131","seed":301,"state":"failed","fault":"diverged","value":null},{"replicate":2,"job":"3232323232323232323232323232323232323232323232323232323232323232","seed":302,"state":"failed","fault":"diverged","value":null},{"replicate":3,"job":"3333333333333333333333333333333333333333333333333333333333333333","seed":303,"state":"failed","fault":"diverged","value":null}]}"#);
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["schema_version"], 1);
    }
}

#[test]
fn ids() {
    let text = shown(&pivot(), Format::Ids);
    assert_eq!(text.lines().count(), 12);
    assert_eq!(text.lines().next(), Some("c0".repeat(32).as_str()));
}
