//! Typed options of operators: the tables of the file format, and which operators carry which.

pub use ferrolite_schema::tflite::{
    ActivationFunctionType, BuiltinOptions2T, BuiltinOptionsT, CombinerType, CustomOptionsFormat,
    FullyConnectedOptionsWeightsFormat, LSHProjectionType, LSTMKernelType, MirrorPadMode, Padding,
    ReduceWindowFunction, RngAlgorithm, StablehloComparisonDirection, StablehloComparisonType,
    StablehloPrecisionConfig, TensorType as SchemaTensorType,
};
use ferrolite_schema::tflite::{BuiltinOperator, BuiltinOptions, BuiltinOptions2};

/// Options of an operator, owned.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Options {
    /// The file gives none; an operator that has options then takes the defaults of its table.
    #[default]
    None,
    /// A table of the first union.
    Builtin(BuiltinOptionsT),
    /// A table of the second union, which StableHLO operators use.
    Builtin2(BuiltinOptions2T),
}

/// An options table, reached from an operator's [`Options`].
pub trait OptionTable: Default + Sized {
    /// Name of the table.
    const NAME: &'static str;

    /// The table inside `options`, if it is this one.
    fn of(options: &Options) -> Option<&Self>;

    /// These options, ready for an operator.
    fn into_options(self) -> Options;
}

impl Options {
    /// The table `T`, if these options hold it.
    pub fn get<T: OptionTable>(&self) -> Option<&T> {
        T::of(self)
    }

    /// Name of the table held; `None` if none is.
    pub fn table_name(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Builtin(BuiltinOptionsT::NONE) | Self::Builtin2(BuiltinOptions2T::NONE) => {
                None
            }
            Self::Builtin(options) => options.builtin_options_type().variant_name(),
            Self::Builtin2(options) => options.builtin_options_2_type().variant_name(),
        }
    }
}

impl<T: OptionTable> From<T> for Options {
    fn from(table: T) -> Self {
        table.into_options()
    }
}

/// Each line is a table, its owned form and the operators that carry it.
macro_rules! option_tables {
    (
        $wrap:ident $union:ident $discriminant:ident;
        $($table:ident $owned:ident [$($operator:ident)*];)*
    ) => {
        $(
            pub use ferrolite_schema::tflite::$owned;

            impl OptionTable for $owned {
                const NAME: &'static str = stringify!($table);

                fn of(options: &Options) -> Option<&Self> {
                    match options {
                        Options::$wrap($union::$table(table)) => Some(table),
                        _ => None,
                    }
                }

                fn into_options(self) -> Options {
                    Options::$wrap($union::$table(Box::new(self)))
                }
            }
        )*

        impl TableOf for $discriminant {
            fn table_of(operator: BuiltinOperator) -> Option<&'static str> {
                match operator {
                    $($(BuiltinOperator::$operator => Some(stringify!($table)),)*)*
                    _ => None,
                }
            }
        }
    };
}

/// Which table of a union an operator carries.
trait TableOf {
    fn table_of(operator: BuiltinOperator) -> Option<&'static str>;
}

/// Name of the options table that `operator` carries; `None` for an operator without options.
pub fn table_of(operator: BuiltinOperator) -> Option<&'static str> {
    BuiltinOptions::table_of(operator).or_else(|| BuiltinOptions2::table_of(operator))
}

option_tables! {
    Builtin BuiltinOptionsT BuiltinOptions;
    Conv2DOptions Conv2DOptionsT [CONV_2D];
    DepthwiseConv2DOptions DepthwiseConv2DOptionsT [DEPTHWISE_CONV_2D];
    ConcatEmbeddingsOptions ConcatEmbeddingsOptionsT [CONCAT_EMBEDDINGS];
    LSHProjectionOptions LSHProjectionOptionsT [LSH_PROJECTION];
    Pool2DOptions Pool2DOptionsT [AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D];
    SVDFOptions SVDFOptionsT [SVDF];
    RNNOptions RNNOptionsT [RNN];
    FullyConnectedOptions FullyConnectedOptionsT [FULLY_CONNECTED];
    SoftmaxOptions SoftmaxOptionsT [SOFTMAX];
    ConcatenationOptions ConcatenationOptionsT [CONCATENATION];
    AddOptions AddOptionsT [ADD];
    L2NormOptions L2NormOptionsT [L2_NORMALIZATION];
    LocalResponseNormalizationOptions LocalResponseNormalizationOptionsT [LOCAL_RESPONSE_NORMALIZATION];
    LSTMOptions LSTMOptionsT [LSTM];
    ResizeBilinearOptions ResizeBilinearOptionsT [RESIZE_BILINEAR];
    CallOptions CallOptionsT [CALL];
    ReshapeOptions ReshapeOptionsT [RESHAPE];
    SkipGramOptions SkipGramOptionsT [SKIP_GRAM];
    SpaceToDepthOptions SpaceToDepthOptionsT [SPACE_TO_DEPTH];
    EmbeddingLookupSparseOptions EmbeddingLookupSparseOptionsT [EMBEDDING_LOOKUP_SPARSE];
    MulOptions MulOptionsT [MUL];
    PadOptions PadOptionsT [PAD];
    GatherOptions GatherOptionsT [GATHER];
    BatchToSpaceNDOptions BatchToSpaceNDOptionsT [BATCH_TO_SPACE_ND];
    SpaceToBatchNDOptions SpaceToBatchNDOptionsT [SPACE_TO_BATCH_ND];
    TransposeOptions TransposeOptionsT [TRANSPOSE];
    ReducerOptions ReducerOptionsT [MEAN SUM REDUCE_PROD REDUCE_MAX REDUCE_MIN REDUCE_ANY REDUCE_ALL];
    SubOptions SubOptionsT [SUB];
    DivOptions DivOptionsT [DIV];
    SqueezeOptions SqueezeOptionsT [SQUEEZE];
    SequenceRNNOptions SequenceRNNOptionsT [UNIDIRECTIONAL_SEQUENCE_RNN];
    StridedSliceOptions StridedSliceOptionsT [STRIDED_SLICE];
    ExpOptions ExpOptionsT [EXP];
    TopKV2Options TopKV2OptionsT [TOPK_V2];
    SplitOptions SplitOptionsT [SPLIT];
    LogSoftmaxOptions LogSoftmaxOptionsT [LOG_SOFTMAX];
    CastOptions CastOptionsT [CAST];
    DequantizeOptions DequantizeOptionsT [DEQUANTIZE];
    MaximumMinimumOptions MaximumMinimumOptionsT [MAXIMUM MINIMUM];
    ArgMaxOptions ArgMaxOptionsT [ARG_MAX];
    LessOptions LessOptionsT [LESS];
    NegOptions NegOptionsT [NEG];
    PadV2Options PadV2OptionsT [PADV2];
    GreaterOptions GreaterOptionsT [GREATER];
    GreaterEqualOptions GreaterEqualOptionsT [GREATER_EQUAL];
    LessEqualOptions LessEqualOptionsT [LESS_EQUAL];
    SelectOptions SelectOptionsT [SELECT];
    SliceOptions SliceOptionsT [SLICE];
    TransposeConvOptions TransposeConvOptionsT [TRANSPOSE_CONV];
    SparseToDenseOptions SparseToDenseOptionsT [SPARSE_TO_DENSE];
    TileOptions TileOptionsT [TILE];
    ExpandDimsOptions ExpandDimsOptionsT [EXPAND_DIMS];
    EqualOptions EqualOptionsT [EQUAL];
    NotEqualOptions NotEqualOptionsT [NOT_EQUAL];
    ShapeOptions ShapeOptionsT [SHAPE];
    PowOptions PowOptionsT [POW];
    ArgMinOptions ArgMinOptionsT [ARG_MIN];
    FakeQuantOptions FakeQuantOptionsT [FAKE_QUANT];
    PackOptions PackOptionsT [PACK];
    LogicalOrOptions LogicalOrOptionsT [LOGICAL_OR];
    OneHotOptions OneHotOptionsT [ONE_HOT];
    LogicalAndOptions LogicalAndOptionsT [LOGICAL_AND];
    LogicalNotOptions LogicalNotOptionsT [LOGICAL_NOT];
    UnpackOptions UnpackOptionsT [UNPACK];
    FloorDivOptions FloorDivOptionsT [FLOOR_DIV];
    SquareOptions SquareOptionsT [SQUARE];
    ZerosLikeOptions ZerosLikeOptionsT [ZEROS_LIKE];
    FillOptions FillOptionsT [FILL];
    BidirectionalSequenceLSTMOptions BidirectionalSequenceLSTMOptionsT [BIDIRECTIONAL_SEQUENCE_LSTM];
    BidirectionalSequenceRNNOptions BidirectionalSequenceRNNOptionsT [BIDIRECTIONAL_SEQUENCE_RNN];
    UnidirectionalSequenceLSTMOptions UnidirectionalSequenceLSTMOptionsT [UNIDIRECTIONAL_SEQUENCE_LSTM];
    FloorModOptions FloorModOptionsT [FLOOR_MOD];
    RangeOptions RangeOptionsT [RANGE];
    ResizeNearestNeighborOptions ResizeNearestNeighborOptionsT [RESIZE_NEAREST_NEIGHBOR];
    LeakyReluOptions LeakyReluOptionsT [LEAKY_RELU];
    SquaredDifferenceOptions SquaredDifferenceOptionsT [SQUARED_DIFFERENCE];
    MirrorPadOptions MirrorPadOptionsT [MIRROR_PAD];
    AbsOptions AbsOptionsT [ABS];
    SplitVOptions SplitVOptionsT [SPLIT_V];
    UniqueOptions UniqueOptionsT [UNIQUE];
    ReverseV2Options ReverseV2OptionsT [REVERSE_V2];
    AddNOptions AddNOptionsT [ADD_N];
    GatherNdOptions GatherNdOptionsT [GATHER_ND];
    CosOptions CosOptionsT [COS];
    WhereOptions WhereOptionsT [WHERE];
    RankOptions RankOptionsT [RANK];
    ReverseSequenceOptions ReverseSequenceOptionsT [REVERSE_SEQUENCE];
    MatrixDiagOptions MatrixDiagOptionsT [MATRIX_DIAG];
    QuantizeOptions QuantizeOptionsT [QUANTIZE];
    MatrixSetDiagOptions MatrixSetDiagOptionsT [MATRIX_SET_DIAG];
    HardSwishOptions HardSwishOptionsT [HARD_SWISH];
    IfOptions IfOptionsT [IF];
    WhileOptions WhileOptionsT [WHILE];
    DepthToSpaceOptions DepthToSpaceOptionsT [DEPTH_TO_SPACE];
    NonMaxSuppressionV4Options NonMaxSuppressionV4OptionsT [NON_MAX_SUPPRESSION_V4];
    NonMaxSuppressionV5Options NonMaxSuppressionV5OptionsT [NON_MAX_SUPPRESSION_V5];
    ScatterNdOptions ScatterNdOptionsT [SCATTER_ND];
    SelectV2Options SelectV2OptionsT [SELECT_V2];
    DensifyOptions DensifyOptionsT [DENSIFY];
    SegmentSumOptions SegmentSumOptionsT [SEGMENT_SUM];
    BatchMatMulOptions BatchMatMulOptionsT [BATCH_MATMUL];
    CumsumOptions CumsumOptionsT [CUMSUM];
    CallOnceOptions CallOnceOptionsT [CALL_ONCE];
    BroadcastToOptions BroadcastToOptionsT [BROADCAST_TO];
    Rfft2dOptions Rfft2dOptionsT [RFFT2D];
    Conv3DOptions Conv3DOptionsT [CONV_3D CONV_3D_TRANSPOSE];
    HashtableOptions HashtableOptionsT [HASHTABLE];
    HashtableFindOptions HashtableFindOptionsT [HASHTABLE_FIND];
    HashtableImportOptions HashtableImportOptionsT [HASHTABLE_IMPORT];
    HashtableSizeOptions HashtableSizeOptionsT [HASHTABLE_SIZE];
    VarHandleOptions VarHandleOptionsT [VAR_HANDLE];
    ReadVariableOptions ReadVariableOptionsT [READ_VARIABLE];
    AssignVariableOptions AssignVariableOptionsT [ASSIGN_VARIABLE];
    RandomOptions RandomOptionsT [RANDOM_STANDARD_NORMAL RANDOM_UNIFORM MULTINOMIAL];
    BucketizeOptions BucketizeOptionsT [BUCKETIZE];
    GeluOptions GeluOptionsT [GELU];
    DynamicUpdateSliceOptions DynamicUpdateSliceOptionsT [DYNAMIC_UPDATE_SLICE];
    UnsortedSegmentProdOptions UnsortedSegmentProdOptionsT [UNSORTED_SEGMENT_PROD];
    UnsortedSegmentMaxOptions UnsortedSegmentMaxOptionsT [UNSORTED_SEGMENT_MAX];
    UnsortedSegmentMinOptions UnsortedSegmentMinOptionsT [UNSORTED_SEGMENT_MIN];
    UnsortedSegmentSumOptions UnsortedSegmentSumOptionsT [UNSORTED_SEGMENT_SUM];
    ATan2Options ATan2OptionsT [ATAN2];
    SignOptions SignOptionsT [SIGN];
    BitcastOptions BitcastOptionsT [BITCAST];
    BitwiseXorOptions BitwiseXorOptionsT [BITWISE_XOR];
    RightShiftOptions RightShiftOptionsT [RIGHT_SHIFT];
}

option_tables! {
    Builtin2 BuiltinOptions2T BuiltinOptions2;
    StablehloConcatenateOptions StablehloConcatenateOptionsT [STABLEHLO_CONCATENATE];
    StablehloBroadcastInDimOptions StablehloBroadcastInDimOptionsT [STABLEHLO_BROADCAST_IN_DIM];
    StablehloSliceOptions StablehloSliceOptionsT [STABLEHLO_SLICE];
    StablehloConvolutionOptions StablehloConvolutionOptionsT [STABLEHLO_CONVOLUTION];
    StablehloCustomCallOptions StablehloCustomCallOptionsT [STABLEHLO_CUSTOM_CALL];
    StablehloReduceOptions StablehloReduceOptionsT [STABLEHLO_REDUCE];
    StablehloScatterOptions StablehloScatterOptionsT [STABLEHLO_SCATTER];
    StablehloCompareOptions StablehloCompareOptionsT [STABLEHLO_COMPARE];
    StablehloDynamicSliceOptions StablehloDynamicSliceOptionsT [STABLEHLO_DYNAMIC_SLICE];
    StablehloPadOptions StablehloPadOptionsT [STABLEHLO_PAD];
    StablehloIotaOptions StablehloIotaOptionsT [STABLEHLO_IOTA];
    StablehloDotGeneralOptions StablehloDotGeneralOptionsT [STABLEHLO_DOT_GENERAL];
    StablehloReduceWindowOptions StablehloReduceWindowOptionsT [STABLEHLO_REDUCE_WINDOW];
    StablehloSortOptions StablehloSortOptionsT [STABLEHLO_SORT];
    StablehloWhileOptions StablehloWhileOptionsT [STABLEHLO_WHILE];
    StablehloGatherOptions StablehloGatherOptionsT [STABLEHLO_GATHER];
    StablehloTransposeOptions StablehloTransposeOptionsT [STABLEHLO_TRANSPOSE];
    DilateOptions DilateOptionsT [DILATE];
    StablehloRngBitGeneratorOptions StablehloRngBitGeneratorOptionsT [STABLEHLO_RNG_BIT_GENERATOR];
    ReduceWindowOptions ReduceWindowOptionsT [REDUCE_WINDOW];
    StableHLOCompositeOptions StableHLOCompositeOptionsT [STABLEHLO_COMPOSITE];
    StablehloShiftLeftOptions StablehloShiftLeftOptionsT [STABLEHLO_SHIFT_LEFT];
    StablehloCaseOptions StablehloCaseOptionsT [STABLEHLO_CASE];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_reached_by_type() {
        let options = Options::from(Conv2DOptionsT { stride_w: 2, ..Default::default() });
        assert_eq!(options.get::<Conv2DOptionsT>().map(|o| o.stride_w), Some(2));
        assert_eq!(options.get::<Pool2DOptionsT>(), None);
        assert_eq!(options.table_name(), Some("Conv2DOptions"));
        assert_eq!(Options::None.get::<Conv2DOptionsT>(), None);
        let options = Options::from(StablehloCaseOptionsT::default());
        assert_eq!(options.table_name(), Some("StablehloCaseOptions"));
    }

    #[test]
    fn operators_know_their_table() {
        let rows = [
            (BuiltinOperator::CONV_3D_TRANSPOSE, Some("Conv3DOptions")),
            (BuiltinOperator::MEAN, Some("ReducerOptions")),
            (BuiltinOperator::STABLEHLO_COMPOSITE, Some("StableHLOCompositeOptions")),
            (BuiltinOperator::LOGISTIC, None),
        ];
        for (operator, table) in rows {
            assert_eq!(table_of(operator), table, "{operator:?}");
        }
    }
}
