//! Names of the classes of the well-known data sets, in the order of their
//! labels.

use swath_model::spec::Dataset as Source;

/// The digits, of `digits` and MNIST.
const DIGITS: &str = "0 1 2 3 4 5 6 7 8 9";

/// Fashion-MNIST (Xiao, Rasul & Vollgraf 2017).
const FASHION: &str = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot";

/// Kuzushiji-MNIST (Clanuwat et al. 2018): hiragana, as they are read.
const KUZUSHIJI: &str = "o ki su tsu na ha ma ya re wo";

/// CIFAR-10 (Krizhevsky 2009).
const CIFAR10: &str = "airplane automobile bird cat deer dog frog horse ship truck";

/// The fine classes of CIFAR-100 (Krizhevsky 2009).
const CIFAR100: &str = "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy \
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud \
    cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster \
    house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle \
    mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree \
    plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew \
    skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank \
    telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf \
    woman worm";

/// The names of a well-known data set's classes; none for a user's own data
/// set.
pub(super) fn names(source: &Source) -> Vec<String> {
    let words = match source {
        Source::Digits | Source::Mnist => DIGITS,
        Source::FashionMnist => FASHION,
        Source::Kmnist => KUZUSHIJI,
        Source::Cifar10 => CIFAR10,
        Source::Cifar100 => CIFAR100,
        Source::Tensors(_) | Source::Folder(_) => "",
    };
    words
        .split_whitespace()
        .map(|word| word.replace('_', " "))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own() {
        let sets = [
            (Source::Digits, 10),
            (Source::Mnist, 10),
            (Source::FashionMnist, 10),
            (Source::Kmnist, 10),
            (Source::Cifar10, 10),
            (Source::Cifar100, 100),
        ];
        for (source, classes) in sets {
            let names = names(&source);
            assert_eq!(names.len(), classes, "{source:?}");
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), classes);
        }
    }

    #[test]
    fn labels_of_published_files_have_the_published_names() {
        assert_eq!(names(&Source::FashionMnist)[9], "Ankle boot");
        assert_eq!(names(&Source::Cifar10)[3], "cat");
        let fine = names(&Source::Cifar100);
        assert_eq!(
            [&fine[0], &fine[19], &fine[99]],
            ["apple", "cattle", "worm"]
        );
        assert!(fine.is_sorted());
    }
}
