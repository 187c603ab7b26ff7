// Sentences of the field, with what they show. The heads are what the page's own rule chooses on the shipped models.
const texts = {
  pt: {
    polysemy: { wants: 'encoder', a: 'O banco da praça estava sujo, então fui ao banco sacar dinheiro.', view: 'words', layer: 2, head: 2, focus: 11 },
    pronoun: { wants: 'encoder', a: 'The animal did not cross the street because it was too tired.', b: 'The animal did not cross the street because it was too wide.', two: 'other', view: 'compare', focus: 9 },
    train: { wants: 'encoder', a: 'O trem saiu da estação no horário.', view: 'words' },
    book: { wants: 'encoder', a: 'O livro que você me deu era interessante.', view: 'heads' },
    similar: { wants: 'encoder', a: 'O gato dorme no sofá.', b: 'O cachorro dorme na cama.', two: 'pair', view: 'heads', pair: 'ab' },
    translation: { wants: 'translator', a: 'The bench in the square was dirty, so I went to the bank to withdraw money.', view: 'translate' },
    next: { wants: 'decoder', a: 'O menino abriu a porta e', view: 'matrix' },
  },
  en: {
    polysemy: { wants: 'encoder', a: 'The bench in the square was dirty, so I went to the bank to withdraw money.', view: 'words', focus: 14 },
    pronoun: { wants: 'encoder', a: 'The animal did not cross the street because it was too tired.', b: 'The animal did not cross the street because it was too wide.', two: 'other', view: 'compare', focus: 9 },
    train: { wants: 'encoder', a: 'The train left the station on time.', view: 'words' },
    book: { wants: 'encoder', a: 'The book that you gave me was interesting.', view: 'heads' },
    similar: { wants: 'encoder', a: 'The cat sleeps on the sofa.', b: 'The dog sleeps on the bed.', two: 'pair', view: 'heads', pair: 'ab' },
    translation: { wants: 'translator', a: 'The bench in the square was dirty, so I went to the bank to withdraw money.', view: 'translate' },
    next: { wants: 'decoder', a: 'The boy opened the door and', view: 'matrix' },
  },
};

export const names = Object.keys(texts.en);
export const of = (language, name) => texts[language][name];
